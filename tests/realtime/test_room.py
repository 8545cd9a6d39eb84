"""A room that is too large for one turn of the loop, and members who are served sparingly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.closing import CloseCode
from realtime.connection import Connection
from realtime.connection_optimizer import ConnectionPlan
from realtime.frame import Frame
from realtime.histogram import edge_s
from realtime.measures import BOOK_MAX, ROUND_S, TOGETHER_MAX, Measures
from realtime.messages import Sender, encode
from realtime.presence import Presence
from realtime.publication import Entry, Position
from realtime.room import PROVISIONAL_MAX, SLICE_MEMBERS, HeldRoom
from tests.fakes import START, ManualClock
from tests.realtime.test_connection import FakeWire, pubs_of

LIGHT = ConnectionPlan(heartbeat_s=25, light=True)


class Hall:
    """A room and its members' wires."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.measures = Measures(self.clock)
        self.room = HeldRoom("w", Position("e", 0, {}, 0), Presence(5, 25), 100, 100_000, self.measures)
        self.wires: list[FakeWire] = []

    def enter(self, role: str = "guest", plan: ConnectionPlan | None = None) -> FakeWire:
        wire = FakeWire()
        connection = Connection("w", Sender(f"m{len(self.wires)}", role), wire, self)
        connection.plan = plan or connection.plan
        self.room.attach(connection)
        self.wires.append(wire)
        return wire

    def fell_behind(self, connection: Connection) -> None:
        self.measures.fell_behind(connection)

    def late(self, connection: Connection, frames: Sequence[Frame]) -> None:
        pass

    def say(self, kind: str = "chat.guests", *, offset: int = 0) -> None:
        entry = Entry("w", offset, kind, 127, f"{kind}{offset}", Sender("p", "planner"), START, b"{}", received_s=0.0)
        self.room.take(entry) if offset else self.room.pass_on(Frame(entry, received_s=0.0))


def test_a_large_room_is_served_in_slices_that_never_mix_two_publications() -> None:
    hall = Hall()
    for _ in range(2 * SLICE_MEMBERS + 1):
        hall.enter()
    hall.say(offset=1)
    hall.room.flush(0)
    assert hall.room.send_slice() and sum(bool(wire.sent) for wire in hall.wires) == SLICE_MEMBERS
    late = hall.enter()
    hall.say(offset=2)
    hall.room.flush(0)
    while hall.room.send_slice():
        pass
    assert {tuple(pub.offset for pub in pubs_of(wire.sent)) for wire in hall.wires[:-1]} == {(1, 2)}
    assert [pub.offset for pub in pubs_of(late.sent)] == [2]
    hall.measures.book()
    assert hall.measures.deliveries[2] == 2 * (2 * SLICE_MEMBERS + 1) + 1


def test_the_crew_is_served_before_the_guests() -> None:
    hall, order = Hall(), []
    for role in ("guest", "display", "couple", "vendor", "planner"):
        wire = hall.enter(role)
        wire.send = lambda frames, sent, role=role: order.append(role) or True  # type: ignore[method-assign, misc]
    hall.say(offset=1)
    hall.room.flush(0)
    assert order == ["planner", "vendor", "couple", "display", "guest"]


def test_one_served_sparingly_does_without_ornaments_and_waits_for_all_but_what_is_urgent() -> None:
    hall = Hall()
    light, usual = hall.enter(plan=LIGHT), hall.enter()
    hall.say("reaction")
    hall.say(offset=1)
    hall.room.flush(0, light=False)
    assert [pub.kind for pub in pubs_of(usual.sent)] == ["reaction", "chat.guests"] and not light.sent
    hall.say("timeline.items", offset=2)
    hall.room.flush(0, light=False)
    assert [pub.kind for pub in pubs_of(light.sent)] == ["chat.guests", "timeline.items"]
    hall.say(offset=3)
    hall.room.flush(0)
    assert pubs_of(light.sent)[-1].offset == 3


def test_latency_is_counted_for_every_member_and_of_what_is_urgent_for_the_room() -> None:
    hall = Hall()
    hall.enter(), hall.enter()
    hall.clock.advance(0.010)
    hall.say("timeline.items", offset=1)
    hall.say("reaction")
    hall.room.flush(0)
    hall.measures.book()
    assert hall.measures.deliveries == [0, 2, 0, 2]
    (urgent,) = hall.measures.latency[1].counts.values()
    assert urgent == 2 and sum(hall.room.measures.report().latency.values()) == 2
    assert hall.room.measures.report().deliveries_total == 4


def test_one_that_takes_nothing_is_stuck_and_one_that_takes_a_little_is_not() -> None:
    hall = Hall()
    stuck, slow = hall.enter(), hall.enter()
    stuck.answers, slow.answers = [False] * 99, [False] * 99
    connections = {id(c._wire): c for c in hall.room.members()}
    hall.say(offset=1)
    hall.room.flush(0)
    for second in range(12):
        hall.clock.advance(1)
        if second % 5 == 0:
            connections[id(slow)].drained()
            connections[id(slow)].write([])
        found = hall.measures.stuck(10)
        assert found == ([connections[id(stuck)]] if second > 9 else [])
    connections[id(stuck)].end_too_slow()
    hall.measures.stuck(10)
    assert connections[id(stuck)] not in hall.measures.behind and stuck.closed == [4008]


def test_one_whose_buffers_get_emptier_takes_something() -> None:
    hall = Hall()
    wire = hall.enter()
    (member,) = hall.room.members()
    wire.answers, wire.unread = [False], 20_000
    hall.say(offset=1)
    hall.room.flush(0)
    for _ in range(30):
        hall.clock.advance(1)
        wire.unread -= 500
        assert hall.measures.stuck(10) == []
    hall.clock.advance(11)
    assert hall.measures.stuck(10) == [member]


@pytest.mark.parametrize("code", [CloseCode.ABUSE, CloseCode.BAD_CREDENTIALS, CloseCode.GOING_AWAY])
def test_one_that_does_not_even_take_the_goodbye_is_not_waited_for(code: CloseCode) -> None:
    hall = Hall()
    wire = hall.enter()
    (member,) = hall.room.members()
    wire.answers = [False]
    hall.say(offset=1)
    hall.room.flush(0)
    member.end(code, "No.")
    hall.clock.advance(11)
    assert hall.measures.stuck(10) == [member] and wire.closed == []
    member.end_too_slow()
    assert member.closing is code and wire.closed == [int(code)] and member.n_bytes == 0
    assert hall.measures.stuck(10) == [] and not hall.measures.behind


@pytest.mark.parametrize("kept_waiting_s", [0.0, 0.2])
def test_each_is_counted_when_it_was_served_also_where_the_process_was_kept_waiting_in_between(kept_waiting_s: float) -> None:
    hall, moments_s = Hall(), list[float]()
    for _ in range(100):
        wire = hall.enter()

        def send(*args: Any, send: Any = wire.send) -> bool:
            hall.clock.advance(0.001 + (kept_waiting_s if len(moments_s) == 37 else 0.0))
            moments_s.append(hall.clock.monotonic())
            return bool(send(*args))

        wire.send = send  # type: ignore[method-assign]
    hall.clock.advance(0.05)
    hall.say("reaction")
    hall.room.flush(0)
    hall.measures.book()
    counted = hall.measures.latency[3]
    assert len(counted) == hall.measures.deliveries[3] == 100
    found = [edge_s(index) for index, count in sorted(counted.counts.items()) for _ in range(count)]
    for right_s, found_s in zip(moments_s, found, strict=True):
        assert right_s - 1e-9 <= found_s <= 1.033 * (right_s + ROUND_S), (right_s, found_s)


class Watch:
    """A hall of members who note when each of them was served."""

    def __init__(self) -> None:
        self.hall = Hall()
        self.moments_s: list[float] = []
        self._counted: list[list[float]] = []
        delivered = self.hall.measures.delivered

        def noted(room: Any, frames: Any, served: list[float]) -> None:
            self._counted.append(served)
            delivered(room, frames, served)

        self.hall.measures.delivered = noted  # type: ignore[method-assign]

    def write(self, sends: Iterable[tuple[float, str]]) -> None:
        """One publication to new members. [(how long each takes, whether the socket takes it "at once", "again" or "never")]"""
        for member in list(self.hall.room.members()):
            self.hall.room.detach(member)
        todo = iter(sends := list(sends))
        wires = {id(wire): wire for wire in (self.hall.enter() for _ in sends)}

        def push(wire: FakeWire, frames: bytes) -> int:
            took_s, how = next(todo)
            self.hall.clock.advance(took_s)
            wire.answers = [how == "again"]
            if how != "never":
                self.moments_s.append(self.hall.clock.monotonic())
            if how == "at once":
                return len(frames)
            raise BlockingIOError

        for member in self.hall.room.members():
            member.push = partial(push, wires[id(member._wire)])
        self.hall.say("reaction")
        self.hall.room.flush(0)

    def late_s(self) -> list[float]:
        """How much later than served each is counted, in order."""
        runs = [run for served in self._counted for run in zip(served[::2], served[1::2], strict=True)]
        found_s = [at_s for at_s, n in runs for _ in range(int(n))]
        return [at_s - right_s for right_s, at_s in zip(self.moments_s, found_s, strict=True)]


PACES = [0.000_001, 0.000_005_5, 0.000_012, 0.000_03, 0.000_07, 0.000_5]
SENDS = st.lists(
    st.tuples(st.sampled_from([*[0.0] * 30, 0.000_3, 0.2]), st.sampled_from(["at once"] * 8 + ["again", "never"])), max_size=120
)


@given(st.sampled_from(PACES), st.lists(SENDS, min_size=1, max_size=3))
def test_nobody_is_counted_before_served_and_few_after_it(pace_s: float, writes: list[list[tuple[float, str]]]) -> None:
    """For each time the process is kept waiting, a few. [[(for how long it is, whether the send succeeds), ...], ...]"""
    watch = Watch()
    for sends in writes:
        watch.write((pace_s + waited_s, how) for waited_s, how in sends)
    late_s = watch.late_s()
    assert all(late >= 0.0 for late in late_s)
    waits = sum(waited_s > 0 for sends in writes for waited_s, _ in sends)
    assert sum(late > ROUND_S + 1e-9 for late in late_s) <= (TOGETHER_MAX - 1) * waits
    measures = watch.hall.measures
    measures.book()
    assert measures.deliveries[3] == len(measures.latency[3]) == len(watch.moments_s)


def test_how_many_are_counted_together_follows_the_pace() -> None:
    watch, quick, slow = Watch(), (0.000_001, "at once"), (0.000_3, "at once")
    watch.write([quick] * 100)
    assert watch.hall.measures.together == TOGETHER_MAX
    watch.write([slow] * 100)
    late_s = watch.late_s()
    assert watch.hall.measures.together == 1
    assert sum(late > ROUND_S for late in late_s[:140]) == (16 + 8 + 4 + 2) - 4  # the last of each run is on time
    assert max(late_s[140:]) < 1e-9
    watch.write([quick] * 100)
    assert watch.hall.measures.together == TOGETHER_MAX and max(watch.late_s()[200:]) < ROUND_S
    watch.write([(0.000_012, "at once")] * 100)
    assert watch.hall.measures.together == 8
    watch.write([(0.000_012, "at once")])  # one says little about how long sixteen take
    assert watch.hall.measures.together == 8


def test_what_the_server_itself_says_has_no_publisher_to_be_timed_from() -> None:
    hall = Hall()
    hall.enter("planner")
    entry = Entry("w", 0, "presence", 127, "p", Sender("system", "system"), START, b"{}")
    hall.room.pass_on(Frame(entry, received_s=hall.measures.received_s(entry)))
    hall.room.flush(0)
    hall.measures.book()
    assert hall.measures.deliveries[3] == 1 and not hall.measures.latency[3].counts
    said = Entry("w", 1, "chat.guests", 127, "c", Sender("p", "planner"), START, b"{}")
    assert hall.measures.received_s(said) == hall.clock.monotonic()  # of another machine: by its wall clock


def test_what_is_replayed_from_the_journal_to_somebody_who_does_not_read_is_no_latency() -> None:
    hall = Hall()
    hall.enter()
    (member,) = hall.room.members()
    hall.clock.advance(3_600)
    frame = Frame(Entry("w", 1, "cue.go", 127, "c", member.member, START, b"{}"))
    hall.measures.delivered(hall.room.measures, [frame], [hall.clock.monotonic(), 1])
    hall.measures.book()
    assert hall.measures.deliveries[1] == 1 and not hall.measures.latency[1].counts


def test_deliveries_are_counted_together_before_there_are_many() -> None:
    hall = Hall()
    hall.enter()
    for n in range(BOOK_MAX):
        assert hall.measures.deliveries[2] == 0
        hall.say(offset=n + 1)
        hall.room.flush(0)
    hall.room.flush(0)
    assert hall.measures.deliveries[2] == hall.room.measures.report().deliveries_total == BOOK_MAX


def test_what_is_told_of_one_who_was_behind_while_others_are_served_leaves_their_count_alone() -> None:
    hall = Hall()
    hall.enter()
    served: list[float] = []
    hall.say(offset=1)
    frame = hall.room.window[-1]
    hall.measures.delivered(hall.room.measures, [frame], served)
    for _ in range(2 * BOOK_MAX):
        hall.measures.delivered(hall.room.measures, [frame], [hall.clock.monotonic(), 1])
    served.extend((hall.clock.monotonic(), 3))
    hall.measures.book()
    assert hall.measures.deliveries[2] == 2 * BOOK_MAX + 3


def test_what_nobody_took_counts_nothing() -> None:
    hall = Hall()
    wire = hall.enter()
    wire.answers = [False]
    hall.say("reaction")
    hall.room.flush(0)
    hall.measures.book()
    assert hall.measures.deliveries == [0, 0, 0, 0] and not hall.measures.latency[3].counts


def alert(id: str, *, offset: int = 0, about: str = "fire") -> Entry:
    data = encode({"alert": about, "category": "fire", "text": "out"})
    return Entry("w", offset, "emergency.alert", 127, id, Sender("p", "planner"), START, data)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (alert("e1", offset=1), []),
        (alert("e2", offset=1), []),
        (alert("e2", offset=1, about="flood"), ["e1"]),
        (Entry("w", 1, "chat.guests", 127, "e2", Sender("p", "planner"), START, b"{}"), ["e1"]),
        (Entry("w", 1, "emergency.alert", 127, "e2", Sender("p", "planner"), START, b'{"of": "another release"}'), ["e1"]),
    ],
)
def test_what_went_ahead_is_for_newcomers_until_it_or_a_later_word_about_it_is_stored(stored: Entry, kept: list[str]) -> None:
    room = Hall().room
    room.keep(Frame(alert("e1"), provisional=True))
    room.take(stored)
    assert [id for _, id in room.provisional] == kept


def test_what_went_ahead_but_comes_after_its_stored_copy_is_not_kept() -> None:
    room = Hall().room
    room.take(alert("e1", offset=1))
    room.keep(Frame(alert("e1"), provisional=True))
    assert not room.provisional


def test_no_more_is_kept_for_newcomers_than_a_bound() -> None:
    room = Hall().room
    for n in range(2 * PROVISIONAL_MAX):
        room.keep(Frame(alert(f"e{n}"), provisional=True))
    assert len(room.provisional) == PROVISIONAL_MAX
