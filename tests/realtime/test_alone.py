"""A process that surely is alone with a room keeps what is said there to itself; whoever opens the room misses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.draft import draft
from realtime.errors import JournalUnavailable
from realtime.hub import Hub
from realtime.messages import Sender
from realtime.others import FLEET, MISSED
from realtime.parcel import Parcel, unpack
from realtime.standstill import STANDSTILL_S
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, second
from tests.realtime.test_connection import FakeWire, pubs_of

ROOM = "rose"
CONFIG = RealtimeConfig()
SURE_S = MISSED * CONFIG.presence_refresh_s + 1


class Worker:
    """A process with a member of the room, once it is open."""

    def __init__(self, name: str, network: Network, journal: MemoryJournal, clock: ManualClock) -> None:
        self._network, self._journal, self._clock = network, journal, clock
        self.mailbox, self.wire = MemoryMailbox(network), FakeWire()
        self.hub = Hub(CONFIG, journal, self.mailbox, clock, self._in_thread, f"h.{name}.x")
        self.mailbox.receive = self.hub.receive
        self.mailbox.rooms.add(FLEET)
        self.said = 0
        self.while_reading: Callable[[], object] = lambda: None

    async def _in_thread(self, function: Callable[..., Any], *args: object) -> Any:
        result = function(*args)
        if ROOM in self.hub.rooms:
            self.while_reading()
        return result

    async def open(self) -> None:
        await self.hub.join(Connection(ROOM, Sender(self.hub.process, "planner"), self.wire), "", None, "")

    def say(self) -> str:
        """Something durable: its id."""
        self.said += 1
        id = f"{self.hub.process}-{self.said}"
        self.hub.committed(self._journal.commit([draft(CONFIG, ROOM, "chat.crew", {"text": "x"}, id=id)])[0].entries)  # type: ignore[union-attr]
        return id

    def clap(self) -> None:
        self.hub.ephemeral(draft(CONFIG, ROOM, "reaction", {"emoji": "x", "target": "photo"}, sender=Sender("g", "guest")))

    def told(self) -> list[Parcel]:
        """What it told the others since this was asked last."""
        told = [unpack(parcel) for _, _, parcel in self._network.wire if unpack(parcel).process == self.hub.process]
        self._network.wire = [sent for sent in self._network.wire if unpack(sent[2]).process != self.hub.process]
        return told

    def shown(self) -> list[str]:
        return [pub.id for pub in pubs_of(self.wire.sent) if pub.kind == "chat.crew"]


class Fleet:
    """Two workers. The first holds the room."""

    async def start(self) -> Fleet:
        self.clock, self.network = ManualClock(), Network()
        journal = MemoryJournal(self.clock, ROOM)
        self.here, self.there = (Worker(name, self.network, journal, self.clock) for name in ("1", "2"))
        await self.here.open()
        await self.pass_s(0)
        return self

    async def pass_s(self, seconds: float) -> None:
        """Time goes by, everything on the wire arrives."""
        for _ in range(round(seconds)):
            self.clock.advance(1)
            for worker in (self.here, self.there):
                await second(worker.hub)
            self.network.deliver_all()
        self.network.deliver_all()


async def test_what_is_said_in_a_room_just_opened_goes_to_everybody() -> None:
    fleet = await Fleet().start()
    fleet.here.say()
    fleet.here.clap()
    assert len(fleet.here.told()) == 2


async def test_who_has_heard_of_nobody_for_long_enough_says_only_what_it_holds() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    fleet.here.say()
    fleet.here.clap()
    assert fleet.here.told() == []
    for _ in range(round(2 * CONFIG.presence_refresh_s)):
        fleet.clock.advance(1)
        await second(fleet.here.hub)
    told = fleet.here.told()
    assert {tuple(parcel.holds) for parcel in told} == {(ROOM,)} and len(told) <= 2


async def test_one_that_is_still_opening_the_room_is_not_alone_with_it() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    said: list[str] = []
    fleet.there.while_reading = lambda: said or said.append(fleet.there.say())
    await fleet.there.open()
    fleet.network.deliver_all()
    assert said and said[0] in fleet.here.shown()


async def test_one_that_could_not_read_the_room_has_greeted_the_others_all_the_same() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)

    def away() -> None:
        raise JournalUnavailable

    fleet.there.while_reading = away
    with pytest.raises(JournalUnavailable):
        await fleet.there.open()
    assert any(parcel.roster_wanted for parcel in fleet.there.told())


async def test_whoever_opens_the_room_is_told_what_was_said_meanwhile_and_all_that_follows() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    await fleet.there.open()
    between = fleet.here.say()  # after it has read, before its greeting arrives
    fleet.network.deliver_all()
    assert fleet.there.shown() == [between]
    after = fleet.here.say()
    fleet.here.clap()
    fleet.network.deliver_all()
    assert fleet.there.shown() == [between, after]
    await fleet.pass_s(3 * SURE_S)
    later = fleet.here.say(), fleet.there.say()
    fleet.network.deliver_all()
    assert sorted(fleet.here.shown()[-2:]) == sorted(fleet.there.shown()[-2:]) == sorted(later)


async def test_of_a_greeting_that_is_lost_tells_what_the_other_holds() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    await fleet.there.open()
    fleet.network.wire.clear()
    await fleet.pass_s(CONFIG.presence_refresh_s + 1)
    said = fleet.here.say()
    fleet.network.deliver_all()
    assert said in fleet.there.shown()


async def test_when_the_other_has_gone_it_is_alone_again() -> None:
    fleet = await Fleet().start()
    await fleet.there.open()
    await fleet.pass_s(SURE_S)
    assert fleet.here.say() and len(fleet.here.told()) == 1
    fleet.there.hub.rooms.clear()
    await fleet.pass_s(SURE_S)
    assert fleet.here.say() and fleet.here.told() == []


async def test_while_and_after_the_layer_was_sick_nobody_is_sure() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    fleet.here.mailbox.healthy, fleet.here.mailbox.sick_s = False, fleet.clock.monotonic()
    fleet.here.say()
    assert len(fleet.here.told()) == 1
    fleet.here.mailbox.healthy = True
    fleet.clock.advance(1)
    await second(fleet.here.hub)
    assert any(parcel.holds for parcel in fleet.here.told())  # somebody may have opened the room unheard
    await second(fleet.here.hub)
    assert not any(parcel.holds for parcel in fleet.here.told())
    await fleet.pass_s(SURE_S)
    fleet.here.say()
    assert fleet.here.told() == []


async def test_what_no_journal_has_goes_out_in_any_case() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    fleet.here.hub.provisional(draft(CONFIG, ROOM, "emergency.alert", {"alert": "a", "category": "fire", "text": "x"}))
    assert [parcel.provisional for parcel in fleet.here.told()] == [True]


async def test_one_that_stood_still_may_not_have_heard_a_greeting_yet() -> None:
    fleet = await Fleet().start()
    fleet.here.hub.standstill.alive()
    await fleet.pass_s(SURE_S)
    fleet.here.hub.standstill.alive()
    fleet.here.say()
    assert len(fleet.here.told()) == 1
    fleet.clock.advance(STANDSTILL_S / 2)
    fleet.here.hub.standstill.alive()
    fleet.here.say()
    assert fleet.here.told() == []


async def test_a_process_without_the_room_tells_whoever_may_hold_it() -> None:
    fleet = await Fleet().start()
    await fleet.pass_s(SURE_S)
    said = fleet.there.say()
    fleet.network.deliver_all()
    assert fleet.here.shown() == [said]
