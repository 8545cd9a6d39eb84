"""The balancer as a whole: reports in, orders to workers and to what stands in front of them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from realtime.adapters.registry import MemoryRegistry
from realtime.clock import SystemClock
from realtime.load_balancer import RealtimeLoadBalancer
from realtime.policy.balancing import Server, Worker, first_choice, place
from realtime.report import Drain, Move, WeddingReport, WorkerReport, WorkerState
from tests.realtime.policy.test_balancing import saturday

NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


class Front:
    """Remembers what was asked of it."""

    def __init__(self, *, hashes_alike: bool = True) -> None:
        self.hashes_alike = hashes_alike
        self.servers: Sequence[Server] = ()
        self.homes: Mapping[str, str] = {}
        self.broken = False

    async def arrange(self, servers: Sequence[Server], homes: Mapping[str, str]) -> None:
        if self.broken:
            raise OSError("HAProxy is away")
        self.servers, self.homes = servers, dict(homes)


def report(slot: str, weddings: dict[str, int], now: datetime, state: WorkerState = "ready") -> WorkerReport:
    return WorkerReport(
        worker=f"host.{slot}",
        slot=slot,
        host="host",
        pid=1,
        at_s=now.timestamp(),
        started_s=now.timestamp() - 600,
        state=state,
        address=f"10.0.0.1:{slot[1:]}000",
        connections={"guest": sum(weddings.values())},
        weddings={wedding: WeddingReport({"guest": n}) for wedding, n in weddings.items()},
    )


UNEVEN = ({f"k{i}": 30 for i in range(25)}, {f"j{i}": 30 for i in range(15)})


async def watch(balancer: RealtimeLoadBalancer, seconds: int, protected: Sequence[str] = (), at: datetime = NOON) -> list[str]:
    moved = []
    for second in range(seconds):
        now = at + timedelta(seconds=second)
        reports = [report("w1", UNEVEN[0], now), report("w2", UNEVEN[1], now)]
        moved += [plan.wedding for plan in await balancer.rebalance(reports, protected, now)]
    return moved


async def test_uneven_loads_move_a_wedding_and_its_home_is_told_first() -> None:
    registry, front = MemoryRegistry(SystemClock()), Front()
    balancer = RealtimeLoadBalancer(registry, front)
    moved = await watch(balancer, 32)
    orders = await registry.report(report("w1", {}, NOON)) + await registry.report(report("w2", {}, NOON))
    moves = [order for order in orders if isinstance(order, Move)]
    assert moved and [order.room for order in moves] == moved
    assert balancer.moving
    for wedding in moved:
        assert balancer.place(wedding).worker == (front.homes.get(wedding) or balancer.place(wedding).first_choice)


async def test_a_wedding_in_its_ceremony_is_left_alone() -> None:
    everybody = [*UNEVEN[0], *UNEVEN[1]]
    assert await watch(RealtimeLoadBalancer(MemoryRegistry(SystemClock()), Front()), 90, everybody) == []


async def test_a_front_that_is_away_moves_nobody_and_is_asked_again() -> None:
    front = Front()
    front.broken = True
    balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
    assert await watch(balancer, 60) == []
    front.broken = False
    assert await watch(balancer, 60, at=NOON + timedelta(seconds=60))


async def test_a_draining_worker_has_weight_0_and_a_fresh_one_little() -> None:
    front = Front()
    balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
    fresh = report("w3", {}, NOON)
    reports = [report("w1", {}, NOON), report("w2", {}, NOON, "draining"), fresh]
    reports[2] = type(fresh)(**{f: getattr(fresh, f) for f in fresh.__struct_fields__} | {"started_s": NOON.timestamp()})
    await balancer.rebalance(reports, [], NOON)
    assert [server.weight for server in front.servers] == [1.0, 0.0, 0.1]
    placed = next(p for i in range(99) if (p := balancer.place(f"k{i}")).first_choice == "w2")
    assert placed.reason == "drain"


async def test_a_worker_that_alone_cannot_store_gets_nobody_and_when_none_can_all_do() -> None:
    front = Front()
    balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
    for storing, weights in (((False, True), [0.0, 1.0]), ((False, False), [1.0, 1.0])):
        both = zip((report("w1", {}, NOON), report("w2", {}, NOON)), storing, strict=True)
        await balancer.rebalance([replace(one, journal_healthy=stores) for one, stores in both], [], NOON)
        assert [server.weight for server in front.servers] == weights


async def test_a_drain_is_an_order() -> None:
    registry = MemoryRegistry(SystemClock())
    await RealtimeLoadBalancer(registry, Front()).drain("host.w1", "a new release")
    assert await registry.report(report("w1", {}, NOON)) == [Drain("a new release")]


async def test_a_saturday_that_was_planned_stays_whole_however_its_people_come() -> None:
    weddings, people = saturday(4)
    registry, front = MemoryRegistry(SystemClock()), Front()
    balancer, at = RealtimeLoadBalancer(registry, front), {slot: Counter[str]() for slot in ("w1", "w2", "w3", "w4")}
    for second, start in enumerate(range(0, int(0.7 * len(people)), 200)):
        now = NOON + timedelta(seconds=second)
        await balancer.rebalance([report(slot, dict(held), now) for slot, held in at.items()], [], now, weddings)
        for wedding in people[start : start + 200]:
            workers = [Worker(slot, held.total()) for slot, held in at.items()]
            at[place(wedding, "guest", workers, home=front.homes.get(wedding, "")).worker][wedding] += 1
    split = sum(sum(wedding in held for held in at.values()) > 1 for wedding in weddings)
    loads = [held.total() for held in at.values()]
    assert split <= 0.10 * len(weddings)
    assert max(loads) * len(loads) / sum(loads) <= 1.25


async def test_a_front_with_a_hash_of_its_own_hears_where_every_wedding_is_and_none_is_moved_for_our_hash() -> None:
    registry, front = MemoryRegistry(SystemClock()), Front(hashes_alike=False)
    balancer = RealtimeLoadBalancer(registry, front)
    at = {"w1": {f"k{i}": 30 for i in range(10)}, "w2": {f"j{i}": 30 for i in range(10)}}
    for second in range(90):
        now = NOON + timedelta(seconds=second)
        reports = [report(slot, held, now) for slot, held in at.items()]
        assert await balancer.rebalance(reports, [], now, {"booked": 40}) == []
    where = {wedding: slot for slot, held in at.items() for wedding in held}
    assert front.homes == where | {"booked": front.homes["booked"]}
    leaving = [report("w1", at["w1"] | {"k0": 1}, now, "draining"), report("w2", at["w2"] | {"k0": 29}, now)]
    await balancer.rebalance(leaving, [], now, {"booked": 40})
    assert set(front.homes.values()) == {"w2"} and front.homes.keys() >= where.keys()


async def test_the_weddings_of_a_worker_that_leaves_have_new_homes_at_once_and_evenly() -> None:
    front = Front(hashes_alike=False)
    balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
    at = {
        "w1": {f"k{i}": 20 + i for i in range(9)},
        "w2": {f"j{i}": 30 for i in range(7)},
        "w3": {f"l{i}": 30 for i in range(9)},
    }
    await balancer.rebalance([report(slot, held, NOON) for slot, held in at.items()], [], NOON)
    now = NOON + timedelta(seconds=1)
    lame = [report("w1", at["w1"], now, "lame"), *(report(slot, at[slot], now) for slot in ("w2", "w3"))]
    await balancer.rebalance(lame, [], now)
    assert {front.homes[wedding] for wedding in at["w1"]} == {"w1"}  # it may be back in a moment, and its people are there
    leaving = [report("w1", at["w1"], now, "draining"), *(report(slot, at[slot], now) for slot in ("w2", "w3"))]
    await balancer.rebalance(leaving, [], now)
    to = {wedding: front.homes[wedding] for wedding in at["w1"]}
    loads = {slot: sum(at[slot].values()) + sum(at["w1"][w] for w, home in to.items() if home == slot) for slot in ("w2", "w3")}
    assert sum(loads.values()) == sum(sum(held.values()) for held in at.values())
    assert max(loads.values()) <= 1.1 * min(loads.values())
    # Some have gone, some not yet: it is the same home.
    half = {wedding: n // 2 for wedding, n in at["w1"].items()}
    gone = {slot: at[slot] | {w: n - half[w] for w, n in at["w1"].items() if to[w] == slot} for slot in ("w2", "w3")}
    now += timedelta(seconds=1)
    await balancer.rebalance(
        [report("w1", half, now, "draining"), *(report(s, held, now) for s, held in gone.items())], [], now
    )
    assert {wedding: front.homes[wedding] for wedding in at["w1"]} == to


def moved_to_w2(slots: Sequence[str]) -> list[str]:
    """Weddings that were moved: their hash says w1."""
    return [f"k{i}" for i in range(99) if first_choice(f"k{i}", slots) == "w1"][:4]


async def test_a_control_loop_that_begins_anew_finds_the_weddings_that_were_moved_where_they_are() -> None:
    front = Front()
    balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
    moved = moved_to_w2(("w1", "w2"))
    hashed = next(f"h{i}" for i in range(99) if first_choice(f"h{i}", ("w1", "w2")) == "w2")
    at = dict.fromkeys(moved, 60)
    await balancer.rebalance([report("w1", {moved[0]: 1}, NOON), report("w2", at | {hashed: 60}, NOON)], moved, NOON)
    assert front.homes == dict.fromkeys(moved, "w2")
    assert {balancer.place(wedding).worker for wedding in moved} == {"w2"}


@pytest.mark.parametrize("hashes_alike", [True, False])
@pytest.mark.parametrize("trouble", ["lame", "silent"])
@pytest.mark.parametrize("slots", [("w1", "w2"), ("w1", "w2", "w3")])
async def test_a_worker_in_trouble_for_a_moment_stays_the_home_of_its_weddings(
    hashes_alike: bool, trouble: str, slots: tuple[str, ...]
) -> None:
    front = Front(hashes_alike=hashes_alike)
    balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
    moved = moved_to_w2(slots)
    there = dict.fromkeys(moved, 60)

    async def look(second: float, state: WorkerState | None = "ready", spilt: int = 0) -> None:
        now = NOON + timedelta(seconds=second)
        others = [report(slot, {moved[0]: spilt} if slot == "w1" and spilt else {}, now) for slot in slots if slot != "w2"]
        await balancer.rebalance([*others, *([report("w2", there, now, state)] if state else [])], moved, now)

    await look(0)
    for second in range(1, 5):
        await look(second, "lame" if trouble == "lame" else None, spilt=second)  # who comes meanwhile goes elsewhere
    await look(5)
    assert {balancer.homes[wedding] for wedding in moved} == {"w2"}


async def test_a_worker_that_leaves_or_is_gone_for_long_is_no_home() -> None:
    for state in ("draining", None):
        front = Front()
        balancer = RealtimeLoadBalancer(MemoryRegistry(SystemClock()), front)
        moved = moved_to_w2(("w1", "w2"))
        for second in range(9):
            now = NOON + timedelta(seconds=second)
            w2 = report("w2", dict.fromkeys(moved, 60), now, "ready" if second == 0 else state or "ready")
            reports = [report("w1", dict.fromkeys(moved, 1), now), *([w2] if state or second == 0 else [])]
            await balancer.rebalance(reports, [], now)
        assert "w2" not in front.homes.values()


async def test_a_wedding_too_large_for_one_worker_has_homes_on_several_and_is_not_brought_together() -> None:
    registry, front = MemoryRegistry(SystemClock()), Front()
    balancer = RealtimeLoadBalancer(registry, front, capacity=400)
    everywhere = [report("w1", {"mega": 150}, NOON), report("w2", {"mega": 150}, NOON)]
    assert await balancer.rebalance(everywhere, [], NOON, {"mega": 390, "small": 20}) == []
    shards = {key: slot for key, slot in front.homes.items() if key.startswith("mega")}
    assert set(shards) == {f"mega#{n}" for n in range(4)} and set(shards.values()) == {"w1", "w2"}
    for second in range(1, 90):
        assert await balancer.rebalance(everywhere, [], NOON + timedelta(seconds=second), {"mega": 390, "small": 20}) == []
    await balancer.rebalance([report("w1", {}, NOON), report("w2", {}, NOON)], [], NOON + timedelta(seconds=99))
    assert not front.homes  # it is over
