"""Rebalancing: whole weddings, one after the other, never in a ceremony, until loads are even."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from realtime.policy.balancing import Worker, first_choice, place, plan_homes, unevenness
from realtime.policy.rebalancing import START, START_S, STOP, Held, MovePlan, Rebalancing, rebalance, settle
from tests.realtime.policy.test_balancing import saturday, seat

At = dict[str, Counter[str]]


def workers_of(at: At, slots: list[str]) -> list[Worker]:
    return [Worker(slot, sum(where[slot] for where in at.values())) for slot in slots]


def run(at: At, slots: list[str], seconds: int, protected: frozenset[str] = frozenset()) -> list[tuple[float, MovePlan]]:
    """Look once a second; a move is carried out at once."""
    past, moves = Rebalancing(), []
    for now_s in range(seconds):
        held = [Held(wedding, dict(where), wedding in protected) for wedding, where in at.items()]
        plans, past = rebalance(workers_of(at, slots), held, past, float(now_s))
        for plan in plans:
            moves.append((float(now_s), plan))
            at[plan.wedding][plan.target] += at[plan.wedding].pop(plan.source)
    return moves


def whole(at: At) -> float:
    return sum(len(+where) == 1 for where in at.values()) / len(at)


@pytest.mark.parametrize("seed", range(3))
def test_after_a_scale_out_the_new_worker_gets_whole_weddings(seed: int) -> None:
    weddings, people = saturday(seed)
    slots = ["w1", "w2", "w3"]
    at, _ = seat(people, slots, plan_homes(weddings, slots))
    split_before = whole(at)
    slots.append("w4")
    moves = run(at, slots, 600)
    assert unevenness(workers_of(at, slots)) <= START
    assert whole(at) >= min(0.95, split_before)
    assert sum(plan.sockets for _, plan in moves) <= 0.45 * len(people)


def test_weddings_that_were_split_come_together_again() -> None:
    at: At = defaultdict(Counter)
    slots = ["a", "b"]
    for i in range(40):
        home = first_choice(f"k{i}", ("a", "b"))
        at[f"k{i}"] = Counter({home: 30, "b" if home == "a" else "a": 5})
    run(at, slots, 900)
    assert whole(at) >= 0.95


def lopsided() -> At:
    return {f"k{i}": Counter({"a": 30} if i < 25 else {"b": 30}) for i in range(40)}


def test_it_starts_after_30_s_of_unevenness_and_stops_when_even() -> None:
    at = lopsided()
    homes = {k: next(iter(w)) for k, w in at.items()}
    past, started, moved = Rebalancing(homes=homes), None, 0
    for now_s in range(300):
        held = [Held(wedding, dict(where)) for wedding, where in at.items()]
        plans, past = rebalance(workers_of(at, ["a", "b"]), held, past, float(now_s))
        for plan in plans:
            started = now_s if started is None else started
            moved += 1
            assert plan.source == "a" and plan.target == "b"
            at[plan.wedding][plan.target] += at[plan.wedding].pop(plan.source)
    assert started == START_S
    assert unevenness(workers_of(at, ["a", "b"])) <= STOP
    assert moved <= 5


def test_a_wedding_in_its_ceremony_stays() -> None:
    at = lopsided()
    moves = run(at, ["a", "b"], 600, protected=frozenset(at))
    assert moves == []


def test_moves_are_paced() -> None:
    at = lopsided()
    moves = run(at, ["a", "b"], 300)
    for (one_s, plan), (next_s, _) in zip(moves, moves[1:], strict=False):
        assert next_s - one_s >= plan.sockets / plan.per_s


def test_what_is_moved_is_placed_where_it_was_sent() -> None:
    at = lopsided()
    held = [Held(wedding, dict(where)) for wedding, where in at.items()]
    past = Rebalancing(uneven_since_s=0.0, homes=dict.fromkeys(at, "a"))
    plans, past = rebalance(workers_of(at, ["a", "b"]), held, past, 60.0)
    plan = plans[0]
    assert place(plan.wedding, "guest", workers_of(at, ["a", "b"]), home=past.homes.get(plan.wedding, "")).worker == plan.target


def test_nothing_goes_to_a_worker_that_takes_nobody() -> None:
    at = lopsided()
    held = [Held(wedding, dict(where)) for wedding, where in at.items()]
    workers = [Worker("a", 750), Worker("b", 450, 0.0, "drain")]
    assert rebalance(workers, held, Rebalancing(uneven_since_s=0.0, active=True), 60.0)[0] == []


@pytest.mark.parametrize(
    ("sizes", "protected"),
    [({"a": [30]}, ()), ({"a": [3], "b": [2]}, ()), ({"a": [5, 5, 5], "b": [5]}, ("a0", "a1", "a2"))],
    ids=["one wedding", "two small ones", "in their ceremony"],
)
def test_what_cannot_be_made_even_does_not_count_as_people_on_their_way(
    sizes: dict[str, list[int]], protected: tuple[str, ...]
) -> None:
    slots = ["a", "b", "c", "d"]
    held = [
        Held(f"{slot}{n}", {slot: people}, f"{slot}{n}" in protected)
        for slot, parts in sizes.items()
        for n, people in enumerate(parts)
    ]
    workers = [Worker(slot, sum(sizes.get(slot, []))) for slot in slots]
    past = Rebalancing(homes={one.wedding: one.wedding[0] for one in held})
    ended = []
    for now_s in range(300):
        plans, past = rebalance(workers, held, past, float(now_s))
        assert not plans
        ended.append(past.active)
    assert not any(ended), "nobody is taken away while people are being moved"


def test_a_new_worker_among_many_gets_its_share() -> None:
    slots = [f"w{n}" for n in range(21)]
    at = {f"k{n}": Counter({slots[n % 20]: 46}) for n in range(600)}
    past = Rebalancing(homes={wedding: next(iter(where)) for wedding, where in at.items()})
    for now_s in range(1_200):
        held = [Held(wedding, dict(where)) for wedding, where in at.items()]
        plans, past = rebalance(workers_of(at, slots), held, past, float(now_s))
        for plan in plans:
            at[plan.wedding][plan.target] += at[plan.wedding].pop(plan.source)
    loads = {worker.slot: worker.load for worker in workers_of(at, slots)}
    assert loads["w20"] >= 600 * 46 / 21 / 2 and not past.active


def test_a_worker_that_is_not_fit_for_a_moment_keeps_the_weddings_that_are_mostly_there() -> None:
    weddings = [Held(f"g{n}", {"w1": 6, "w2": 40}) for n in range(8)]
    sick = [Worker("w1", 48), Worker("w2", 320, 0.0, "it alone cannot store"), Worker("w3", 300)]
    past = settle(sick, weddings, Rebalancing(), 0.0, hashes_alike=True)
    slots = ("w1", "w2", "w3")
    assert all((past.homes.get(held.wedding) or first_choice(held.wedding, slots)) == "w2" for held in weddings)
