"""Who waits for whom at the dispatcher."""

from __future__ import annotations

import itertools
import socket

from realtime.fleet.desk import IN_FLIGHT_MAX, NOWHERE, PATIENCE_S, RETURN_S, Desk, Visitor
from realtime.fleet.passing import (
    CONTROL_MAX_BYTES,
    GRACE_S,
    PASS_S,
    PASSES_MAX,
    Known,
    Seen,
    Status,
    Taken,
    pair,
    receive,
    send,
)


class Hall:
    """A desk with two workers and a web process, and a clock."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.now_s = 1.0
        self.ids = itertools.count(1)
        self.desk.know(Known(["w1.1", "w2.1"], "web.1"))
        self.hear("w1.1", "w2.1", "web.1")

    def hear(self, *names: str, **more: int) -> None:
        for name in names:
            self.desk.heard(name, Status(name, 1, "ready", **more), self.now_s)

    def visitor(self, wedding: str = "") -> Visitor:
        with socket.socket() as unused:
            return Visitor(unused, "127.0.0.1", self.now_s, wedding)

    def come(self, wedding: str = "") -> tuple[str, Visitor]:
        visitor = self.visitor(wedding)
        name = self.desk.seat(visitor, self.now_s)
        while seated := self.desk.next_for(name):
            for one in seated:
                one.id, one.until_s = next(self.ids), self.now_s + PASS_S
            self.desk.passed(name, seated)
        return name, visitor


def test_a_wedding_stays_together_and_pages_go_to_the_web_process() -> None:
    hall = Hall()
    assert len({hall.come("rose")[0] for _ in range(3)}) == 1
    assert hall.come()[0] == "web.1"


def test_pages_go_to_the_old_web_process_until_the_new_one_is_heard_of() -> None:
    hall = Hall()
    both = Known(["w1.1", "w2.1"], "web.2", webs=["web.1", "web.2"])
    hall.desk.know(both)
    name, taken = hall.come()
    assert name == "web.1", "the new one starts"
    hall.hear("web.2")
    assert hall.come()[0] == "web.2"
    hall.desk.know(Known(["w1.1", "w2.1"], "web.1", webs=["web.1"]))
    assert hall.come()[0] == "web.1", "the new one has failed"
    hall.desk.know(both)
    hall.hear("web.2")
    in_queue = hall.visitor()
    hall.desk._queues["web.1"].waiting.append(in_queue)
    hall.desk.know(Known(["w1.1", "w2.1"], "web.2", webs=["web.1", "web.2"], stopping=["web.1"]))
    assert taken in hall.desk._queues["web.1"].in_flight.values(), "it answers for what it has, and nobody gets that twice"
    assert hall.desk.overdue(hall.now_s) == [in_queue] and hall.come()[0] == "web.2"
    hall.hear("web.1")
    hall.desk.know(Known(["w1.1", "w2.1"], "web.1", webs=["web.1"], stopping=["web.1"]))
    assert hall.come()[0] == NOWHERE


def test_pages_wait_when_the_web_process_has_died_and_the_supervisor_does_not_know_yet() -> None:
    hall = Hall()
    _, taken = hall.come()
    assert hall.desk.gone("web.1") == [taken]
    assert hall.come()[0] == NOWHERE


def test_who_has_stood_still_holds_it_against_nobody() -> None:
    hall = Hall()
    for _ in range(8):
        hall.now_s += 0.25
        hall.hear("w1.1", "w2.1", "web.1")
        hall.desk.seen(hall.now_s, 0.0)
    hall.now_s += 3_600
    seen = hall.desk.seen(hall.now_s, 0.0)
    assert {name: (s.state, s.silent_s) for name, s in seen.workers.items()} == dict.fromkeys(("w1.1", "w2.1"), ("ready", 0.0))
    assert seen.web_silent_s == 0.0 and hall.come("rose")[0] != NOWHERE
    for _ in range(200):
        hall.now_s += 0.25
        hall.hear("w1.1")
        seen = hall.desk.seen(hall.now_s, 0.0)
    assert seen.workers["w2.1"].silent_s == seen.web_silent_s == 50.0 and seen.workers["w1.1"].silent_s == 0.0


def test_weddings_are_spread_by_load() -> None:
    hall = Hall()
    homes = [hall.come(f"wedding-{number}")[0] for number in range(200)]
    assert max(homes.count("w1.1"), homes.count("w2.1")) <= 1.25 * 100 + 1


def test_what_is_not_taken_in_time_goes_elsewhere_and_the_worker_gets_nobody_until_it_is_heard_of() -> None:
    hall = Hall()
    name, visitor = hall.come("rose")
    other = {"w1.1": "w2.1", "w2.1": "w1.1"}[name]
    hall.now_s += PASS_S + GRACE_S + 0.01
    hall.hear(other)
    assert hall.desk.overdue(hall.now_s) == [visitor]
    assert hall.desk.taken(name, Taken(visitor.id, 1)) == []  # too late: it is somebody else's
    assert hall.come("rose")[0] == other
    hall.hear(name)
    assert hall.come("rose")[0] == name


def test_a_silent_worker_gets_nobody_within_two_seconds() -> None:
    hall = Hall()
    name, _ = hall.come("rose")
    other = {"w1.1": "w2.1", "w2.1": "w1.1"}[name]
    hall.now_s += 1.1
    hall.hear(other)
    assert hall.come("rose")[0] == other
    standing = hall.desk.seen(hall.now_s, 0.0).workers[name]
    assert (standing.state, "nothing heard" in standing.reason) == ("lame", True)


def test_one_that_is_replaced_gets_nobody_and_its_weddings_go_to_its_slot() -> None:
    hall = Hall()
    name, _ = hall.come("rose")
    slot = name.removesuffix(".1")
    workers = ["w1.1", "w2.1", f"{slot}.2"]
    hall.desk.know(Known(workers, "web.1", stopping=[name]))
    hall.hear(f"{slot}.2")
    assert hall.come("rose")[0] == f"{slot}.2"
    assert hall.desk.seen(hall.now_s, 0.0).workers[name].state == "draining"


def test_those_a_dead_worker_has_not_taken_are_seated_again() -> None:
    hall = Hall()
    name, visitor = hall.come("rose")
    assert hall.desk.gone(name) == [visitor]
    hall.desk.know(Known([n for n in ("w1.1", "w2.1") if n != name], "web.1"))
    assert hall.desk.seat(visitor, hall.now_s) not in (name, NOWHERE)


def test_without_workers_visitors_wait_and_lose_patience_in_time() -> None:
    hall = Hall()
    hall.desk.know(Known([], "web.1"))
    name, visitor = hall.come("rose")
    assert name == NOWHERE
    assert not hall.desk.ready(hall.now_s)
    hall.now_s += PATIENCE_S + 0.1
    assert hall.desk.out_of_patience(hall.now_s) == [visitor]
    assert hall.desk.n_waiting == 0


def test_a_worker_has_only_so_many_at_once() -> None:
    hall = Hall()
    hall.desk.know(Known(["w1.1"], "web.1"))
    for _ in range(IN_FLIGHT_MAX + 10):
        hall.come("rose")
    assert hall.desk.next_for("w1.1") == []
    assert hall.desk.n_waiting == IN_FLIGHT_MAX + 10


def test_a_new_dispatcher_does_not_take_what_the_old_one_has_passed_for_room() -> None:
    hall = Hall()
    wedding = next(name for name in map(str, range(100)) if hall.come(name)[0] == "w1.1")
    desk = hall.desk = Desk()
    desk.know(Known(["w1.1", "w2.1"], "web.1"))
    hall.hear("w1.1", "w2.1", connections=60, passes_total=1_000)
    homes = [hall.come(wedding)[0] for _ in range(IN_FLIGHT_MAX)]
    assert "w2.1" in homes  # the bound is reached, because these count from the first one on


def test_a_wedding_goes_where_the_balancer_has_put_it() -> None:
    hall = Hall()
    home = hall.come("rose")[0]
    other = {"w1.1": "w2", "w2.1": "w1"}[home]
    hall.desk.settle({"rose": other})
    assert hall.come("rose")[0] == f"{other}.1"


def test_the_visitors_of_a_very_large_wedding_go_to_its_shards_in_turn() -> None:
    hall = Hall()
    hall.desk.settle({"mega#0": "w1", "mega#1": "w2"})
    assert [hall.come("mega")[0] for _ in range(4)] == ["w1.1", "w2.1"] * 2


def test_who_is_on_the_way_in_counts_so_that_a_storm_does_not_split_weddings() -> None:
    hall = Hall()
    wedding = next(name for name in map(str, range(100)) if hall.come(name)[0] == "w1.1")
    hall.hear("w1.1", connections=10, arriving=390, passes_total=400)
    hall.hear("w2.1", connections=390, arriving=10, passes_total=400)
    assert {hall.come(wedding)[0] for _ in range(50)} == {"w1.1"}
    hall.hear("w1.1", connections=10, arriving=690, passes_total=800)
    assert hall.come(wedding)[0] == "w2.1"


def test_a_storm_that_one_worker_notices_first_does_not_split_weddings() -> None:
    hall = Hall()
    wedding = next(name for name in map(str, range(100)) if hall.come(name)[0] == "w1.1")
    hall.hear("w1.1", "w2.1", connections=5_000, passes_total=5_000)
    hall.hear("w2.1", passes_total=5_000)  # it has noticed that all are gone; the other one is still busy with that
    assert {hall.come(wedding)[0] for _ in range(200)} == {"w1.1"}
    for _ in range(2):
        hall.now_s += RETURN_S
        hall.hear("w1.1", connections=5_000, passes_total=5_200)
        hall.hear("w2.1", passes_total=5_000)
    assert hall.come(wedding)[0] == "w2.1"  # by then they would be back


def test_a_storm_does_not_split_weddings_because_a_few_had_left_before_it() -> None:
    hall = Hall()
    wedding = next(name for name in map(str, range(100)) if hall.come(name)[0] == "w1.1")
    hall.hear("w1.1", "w2.1", connections=5_000, passes_total=5_000)
    hall.now_s += RETURN_S - 1
    hall.hear("w1.1", "w2.1", connections=4_990, passes_total=5_000)
    hall.hear("w1.1", "w2.1", passes_total=5_000)
    hall.now_s += 2
    hall.hear("w1.1", connections=400, passes_total=5_400)
    hall.hear("w2.1", connections=100, passes_total=5_100)
    assert {hall.come(wedding)[0] for _ in range(50)} == {"w1.1"}


def test_those_who_come_together_are_passed_together() -> None:
    hall = Hall()
    visitors = [hall.visitor() for _ in range(PASSES_MAX + 1)]
    for visitor in visitors:
        hall.desk.seat(visitor, hall.now_s)
    first, rest = hall.desk.next_for("web.1"), hall.desk.next_for("web.1")
    assert (first, rest) == (visitors[:PASSES_MAX], visitors[PASSES_MAX:])
    for number, visitor in enumerate(visitors):
        visitor.id = number
    hall.desk.passed("web.1", visitors)
    assert hall.desk.taken("web.1", Taken(0, 2)) == visitors[:2]
    assert hall.desk.n_waiting == PASSES_MAX - 1


def test_who_leads_the_day_is_with_the_wedding_also_where_a_guest_is_not_any_more() -> None:
    hall = Hall()
    hall.desk.settle({"rose": "w1"})
    hall.come("rose")
    hall.hear("w1.1", connections=1_300)
    hall.hear("w2.1", connections=700)
    planner = hall.visitor("rose")
    planner.role = "planner"
    assert (hall.desk.seat(planner, hall.now_s), hall.desk.seat(hall.visitor("rose"), hall.now_s)) == ("w1.1", "w2.1")


def test_a_new_worker_starts_slowly_and_one_that_replaces_another_does_not() -> None:
    hall = Hall()
    for _ in range(60):
        hall.now_s += 1
        hall.hear("w1.1", "w2.1")
        hall.desk.seen(hall.now_s, 0.0)
    hall.desk.know(Known(["w1.1", "w2.1", "w2.2", "w3.1"], "web.1", stopping=["w2.1"]))
    hall.hear("w1.1", "w2.1", "w2.2", "w3.1", "web.1")
    homes = [hall.come(f"wedding-{number}")[0] for number in range(100)]
    assert homes.count("w3.1") < 15
    assert 25 < homes.count("w2.2") < 75


def test_what_is_seen_of_the_most_workers_with_long_names_fits_into_a_message() -> None:
    hall, names = Hall(), [f"w{number}.1" for number in range(1, 65)]
    hall.desk.know(Known(names, "web.1"))
    long = dict.fromkeys((f"wedsync-prod-realtime-01.fra1.example-weddings.com.{n}.a1b2c3" for n in range(64)), 0.001)
    for name, worker in zip(names, long, strict=True):
        hall.desk.heard(name, Status(worker, 1, "ready", canaries=long), hall.now_s)
    mine, theirs = pair()
    with mine, theirs:
        assert send(mine, hall.desk.seen(hall.now_s, 0.0))
        heard = receive(theirs, CONTROL_MAX_BYTES)
    assert isinstance(heard, tuple) and isinstance(heard[0], Seen) and len(heard[0].workers) == 64
