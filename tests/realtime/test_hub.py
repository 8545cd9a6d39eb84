"""Two processes and their journal: who the members of each believe to be there, and what a journal that is slow does to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.draft import draft
from realtime.hub import BEAT_ROOMS, Hub
from realtime.messages import Live, Pub, Sender, decode_to_client
from realtime.others import FLEET, MISSED
from realtime.publication import Entry, Stored
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, second
from tests.realtime.test_connection import FakeWire, texts_of

CONFIG = RealtimeConfig()
ANNA, BEN, CLEO = Sender("anna", "planner"), Sender("ben", "vendor"), Sender("cleo", "couple")


class Member:
    """A connection, and who it shows as there."""

    def __init__(self, room: str, sender: Sender) -> None:
        self.wire = FakeWire()
        self.connection = Connection(room, sender, self.wire)

    @property
    def shown(self) -> set[str]:
        """As after everything that was said; `left`: who was ever taken from the screen."""
        self.left = set[str]()
        present: set[str] = set()
        for message in map(decode_to_client, texts_of(self.wire.sent)):
            if isinstance(message, Live):
                present = {member.member for member in message.present}
            elif isinstance(message, Pub) and message.kind == "presence":
                said = msgspec.json.decode(message.data)
                (present.add if said["state"] == "here" else present.discard)(said["member"])
                self.left |= {said["member"]} if said["state"] == "gone" else set()
        return present


class Fleet:
    """Processes that are there until they are taken out of `alive`."""

    def __init__(self, *rooms: str, processes: int = 2) -> None:
        self.clock, self.network = ManualClock(), Network()
        self.journal = MemoryJournal(self.clock, *rooms)
        self.held_up: dict[str, asyncio.Event] = {}
        """{name of a read: what it waits for}."""
        self.mailboxes = [MemoryMailbox(self.network) for _ in range(processes)]
        self.alive = [
            Hub(CONFIG, self.journal, box, self.clock, self._in_thread, f"h.{n}.x") for n, box in enumerate(self.mailboxes)
        ]
        for box, hub in zip(self.mailboxes, self.alive, strict=True):
            box.receive = hub.receive
            box.rooms.add(FLEET)

    async def _in_thread(self, function: Callable[..., Any], *args: object) -> Any:
        found = function(*args)
        if function.__name__ in self.held_up:
            await self.held_up[function.__name__].wait()
        return found

    def commit(self, room: str, id: str, kind: str = "chat.crew", data: Any = None, **more: Any) -> list[Entry]:
        (stored,) = self.journal.commit([draft(CONFIG, room, kind, data or {"text": "x"}, id=id, **more)])
        assert isinstance(stored, Stored)
        return list(stored.entries)

    async def join(self, hub: Hub, room: str, sender: Sender) -> Member:
        member = Member(room, sender)
        await hub.join(member.connection, "", None, "")
        return member

    async def pass_s(self, seconds: float) -> None:
        for _ in range(round(2 * seconds)):
            self.clock.advance(0.5)
            if self.clock.monotonic() % 1 == 0:
                for hub in self.alive:
                    await second(hub)
            self.network.deliver_all()

    def kill(self, hub: Hub) -> None:
        self.network.boxes.remove(self.mailboxes[self.alive.index(hub)])
        self.alive.remove(hub)


async def test_a_wedding_opened_while_the_journal_is_compared_is_not_taken_for_replaced() -> None:
    fleet = Fleet("rose", "villa", processes=1)
    (hub,) = fleet.alive
    await fleet.join(hub, "rose", ANNA)
    fleet.held_up["positions"] = answered = asyncio.Event()
    comparing = asyncio.create_task(hub.compare())
    await asyncio.sleep(0)
    member = await fleet.join(hub, "villa", ANNA)
    answered.set()
    await comparing
    assert set(hub.rooms) == {"rose", "villa"} and member.wire.closed == []


async def test_a_journal_that_went_back_becomes_another_one_once_and_everybody_starts_anew() -> None:
    fleet = Fleet("rose", "villa")
    here, there = fleet.alive
    members = [await fleet.join(hub, "rose", sender) for hub, sender in zip(fleet.alive, (ANNA, BEN), strict=True)]
    other = await fleet.join(here, "villa", CLEO)
    for n in range(3):
        here.committed(fleet.commit("rose", f"p{n}"))
    await fleet.pass_s(1)
    assert [hub.rooms["rose"].offset for hub in fleet.alive] == [3, 3]
    del fleet.journal.entries["rose"][1:]  # a replica that was behind has taken over
    there.committed(fleet.commit("rose", "after"))
    await fleet.pass_s(2)
    assert fleet.journal.epochs == {"rose": "e1+", "villa": "e1"}
    assert [member.wire.closed for member in members] == [[4020], [4020]] and other.wire.closed == []
    back = Member("rose", ANNA)
    await here.join(back.connection, "e1", 3, "")
    assert b'"recovered":false' in back.wire.sent and b'"id":"after"' in back.wire.sent


async def test_what_is_stored_while_the_journal_is_compared_does_not_make_it_go_back() -> None:
    fleet = Fleet("rose", processes=1)
    (hub,) = fleet.alive
    member = await fleet.join(hub, "rose", ANNA)
    fleet.held_up["positions"] = answered = asyncio.Event()
    comparing = asyncio.create_task(hub.compare())
    await asyncio.sleep(0)
    hub.committed(fleet.commit("rose", "p1"))
    answered.set()
    await comparing
    assert member.wire.closed == [] and fleet.journal.epochs == {"rose": "e1"} and hub.rooms["rose"].offset == 1


@pytest.mark.parametrize("how", ["expires", "is replaced"])
async def test_who_missed_a_command_that_is_over_gets_what_it_did_and_not_the_command(how: str) -> None:
    fleet = Fleet("rose", processes=1)
    (hub,) = fleet.alive
    await fleet.join(hub, "rose", ANNA)
    soon = {"expires_at": fleet.clock.now() + timedelta(seconds=60)} if how == "expires" else {}
    hub.committed(fleet.commit("rose", "before"))
    hub.committed(fleet.commit("rose", "cue", "cue.go", {"item": 1}, **soon))
    returned = []
    for seconds in (0, 90):
        await fleet.pass_s(seconds)
        if seconds and how == "is replaced":
            hub.committed(fleet.commit("rose", "cue-again", "cue.go", {"item": 1}, replaces="cue"))
        for since, sender in ((1, BEN), (2, BEN), (1, Sender("guest", "guest"))):
            back = Member("rose", sender)
            await hub.join(back.connection, "e1", since, "")
            returned.append((b'"recovered":true' in back.wire.sent, b'"id":"cue"' in back.wire.sent))
    assert returned == [(True, True), (True, False), (True, False), (False, False), (True, False), (True, False)]


# The moment at which a room tells its roster follows from its name: one soon after it was opened, others after the grace.
@pytest.mark.parametrize("room", ["rose", "rose-garden", "villa", "oak-hall", "lake-side", "abbey"])
@pytest.mark.parametrize("known_first", [True, False])
async def test_who_has_moved_is_there_on_every_screen(room: str, known_first: bool) -> None:
    fleet = Fleet(room)
    there, here = fleet.alive
    old = [await fleet.join(there, room, sender) for sender in (ANNA, BEN, CLEO)]
    stays = await fleet.join(there, room, Sender("dan", "couple"))
    await fleet.pass_s(40)
    if known_first:
        await here.open(room)
        fleet.network.deliver_all()
    new = [await fleet.join(here, room, sender) for sender in (ANNA, BEN, CLEO)]
    await fleet.pass_s(0.5)
    for member in old:
        there.leave(member.connection)
    await fleet.pass_s(120)
    for member in (*new, stays):
        assert member.shown == {"anna", "ben", "cleo", "dan"} and not member.left


async def test_who_is_first_on_a_process_sees_those_on_the_others() -> None:
    fleet = Fleet("villa")
    there, here = fleet.alive
    for sender in (ANNA, CLEO):
        await fleet.join(there, "villa", sender)
    await fleet.pass_s(40)
    member = await fleet.join(here, "villa", BEN)
    await fleet.pass_s(2)
    assert member.shown == {"anna", "ben", "cleo"}


@pytest.mark.parametrize("comes_back", [False, True])
async def test_who_was_on_a_process_that_died_is_not_shown_for_ever(comes_back: bool) -> None:
    fleet = Fleet("rose")
    here, dies = fleet.alive
    anna = await fleet.join(here, "rose", ANNA)
    await fleet.pass_s(1)
    await fleet.join(dies, "rose", BEN)
    await fleet.pass_s(12)
    fleet.kill(dies)
    await fleet.pass_s(2)
    if comes_back:
        ben = await fleet.join(here, "rose", BEN)
        await fleet.pass_s(5)
        here.leave(ben.connection, on_purpose=True)
    assert anna.shown == {"anna", "ben"}
    await fleet.pass_s(MISSED * CONFIG.presence_refresh_s + 1)
    assert anna.shown == {"anna"}


async def test_hundreds_of_rooms_have_their_second_in_portions_and_one_given_up_meanwhile_is_left_out() -> None:
    names = [f"w{number}" for number in range(5 * BEAT_ROOMS)]
    fleet = Fleet(*names)
    here, there = fleet.alive
    members = [await fleet.join(here, name, ANNA) for name in names]
    for member in members:
        here.leave(member.connection)
    fleet.clock.advance(CONFIG.presence_grace_s + 1)
    fleet.network.deliver_all()
    turns, told, beating = 0, 0, asyncio.create_task(here.beat())
    given_up = here.rooms[names[-1]]
    while not beating.done():
        await asyncio.sleep(0)
        before, told = told, len({room for _, room, _ in fleet.network.wire} & set(names))
        turns += 1
        assert told - before <= BEAT_ROOMS
        here.rooms.pop(given_up.name, None)
    assert turns >= 5 and told == len(names) - 1, "who is gone, of every room but that one"


async def test_a_journal_that_does_not_answer_makes_nobody_believe_to_be_alone() -> None:
    fleet = Fleet("rose")
    for hub, sender in zip(fleet.alive, (ANNA, BEN), strict=True):
        await fleet.join(hub, "rose", sender)
    for _ in range(round(2 * MISSED * CONFIG.presence_refresh_s)):
        fleet.clock.advance(1)
        for hub in fleet.alive:
            await hub.beat()
        fleet.network.deliver_all()
    assert not any(hub._others.alone(hub.rooms["rose"]) for hub in fleet.alive)


@pytest.mark.parametrize("alone", [False, True])
async def test_an_emergency_that_is_no_news_to_the_journal_is_told_to_no_newcomer_on_any_process(alone: bool) -> None:
    fleet = Fleet("rose")
    here, there = fleet.alive
    for hub in fleet.alive:
        await hub.open("rose")
    if alone:  # or so each of them believes
        for hub in fleet.alive:
            hub.rooms["rose"].heard_s = -1_000.0
    alarm = draft(CONFIG, "rose", "emergency.alert", {"alert": "a", "category": "fire", "text": "out"}, sender=ANNA, id="e1")
    here.provisional(alarm)
    fleet.network.deliver_all()
    assert all([b'"provisional":true' in (await fleet.join(hub, "rose", CLEO)).wire.sent for hub in fleet.alive])
    here.forget(alarm)
    fleet.network.deliver_all()
    assert not any([b'"provisional":true' in (await fleet.join(hub, "rose", BEN)).wire.sent for hub in fleet.alive])


@pytest.mark.parametrize(
    ("missed", "letters", "recovered"), [(100, 2_000, True), (400, 1, True), (600, 1, False), (400, 2_000, False)]
)
async def test_what_costs_more_to_replay_than_a_snapshot_is_a_snapshot(missed: int, letters: int, recovered: bool) -> None:
    fleet = Fleet("rose")
    drafts = [draft(CONFIG, "rose", "chat.crew", {"text": "x" * letters}, id=f"p{n}") for n in range(missed)]
    fleet.journal.commit(drafts)
    back = Member("rose", ANNA)
    await fleet.alive[0].join(back.connection, "e1", 0, "")
    told = [
        message for message in map(decode_to_client, texts_of(back.wire.sent)) if isinstance(message, Pub) and message.offset
    ]
    assert (f'"recovered":{str(recovered).lower()}'.encode() in back.wire.sent) and len(told) == (missed if recovered else 0)
