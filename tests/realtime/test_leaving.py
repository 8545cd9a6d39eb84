"""Members are sent elsewhere at a pace, planners last, and closed only when they did not go."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.hub import Hub
from realtime.leaving import GOODBYE_S, Leaving
from realtime.messages import Sender
from realtime.policy import draining
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, at_once
from tests.realtime.test_connection import FakeWire, texts_of


class House:
    """A hub with members in one room, and the clock that its leaving follows."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        journal = MemoryJournal(self.clock, "rose", "tulip")
        self.hub = Hub(RealtimeConfig(), journal, MemoryMailbox(Network()), self.clock, at_once, "h.1.a")
        self.leaving = Leaving(self.hub, self.clock, random.Random(1), lambda c: f"fresh {c.member.member}")
        self.members: list[Connection] = []
        self.wires: list[FakeWire] = []
        self.told: list[str] = []

    async def fill(self, *roles: str, room: str = "rose") -> None:
        for role in roles:
            wire = FakeWire()
            connection = Connection(room, Sender(f"{role}{len(self.members)}", role), wire)
            await self.hub.join(connection, "", None, "")
            self.members.append(connection)
            self.wires.append(wire)

    def said(self, number: int, kind: str) -> list[dict[str, Any]]:
        """The messages of this type that member `number` got."""
        return [m for m in map(msgspec.json.decode, texts_of(self.wires[number].sent)) if m["t"] == kind]

    async def turn(self, seconds: float) -> None:
        """Let the time pass, in small steps."""
        for _ in range(round(seconds / 0.05)):
            await asyncio.sleep(0)
            self.clock.advance(0.05)
        await asyncio.sleep(0)


async def test_who_stays_is_asked_again_closed_at_the_deadline_and_reported() -> None:
    house = House()
    await house.fill("planner", "guest", "vendor")
    draining = asyncio.create_task(house.leaving.drain("deploy", 10.0))
    await house.turn(1.0)
    assert [len(house.said(number, "move")) for number in range(3)] == [1, 1, 1]
    assert house.said(0, "move")[0]["resume"] == "fresh planner0", "the ticket of its welcome may be over by now"
    for gone in house.members[:2]:
        house.hub.leave(gone)
    await house.turn(8.0)
    assert house.said(2, "goodbye") == []
    assert [len(house.said(number, "move")) for number in range(3)] == [1, 1, 2]
    await house.turn(1.5 + GOODBYE_S)
    assert await draining == {"vendor": 1}
    assert house.said(2, "goodbye")[0]["code"] == 4012


async def test_draining_ends_when_the_last_one_has_gone() -> None:
    house = House()
    await house.fill("guest")
    draining = asyncio.create_task(house.leaving.drain("deploy", 60.0))
    await house.turn(0.5)
    house.hub.leave(house.members[0])
    await house.turn(0.2)
    assert draining.done() and draining.result() == {}


async def test_somebody_who_comes_while_it_drains_is_asked_too() -> None:
    house = House()
    await house.fill("guest")
    draining = asyncio.create_task(house.leaving.drain("deploy", 60.0))
    await house.turn(0.5)
    await house.fill("guest")
    await house.turn(0.5)
    assert len(house.said(1, "move")) == 1
    draining.cancel()


async def test_guests_who_do_not_react_keep_nobody_from_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "TELL_PER_S", 1.0)
    house = House()
    await house.fill(*["guest"] * 6, "planner", "couple")
    leaving = asyncio.create_task(house.leaving.drain("deploy", 60.0))
    monkeypatch.setattr("realtime.leaving.AGAIN_S", 0.2)  # sooner than all have been told once
    await house.turn(0.05 * 7)
    assert [len(house.said(number, "move")) for number in range(8)] == [1] * 8
    leaving.cancel()


async def test_a_wedding_is_moved_guests_first_and_the_others_stay() -> None:
    house = House()
    await house.fill("planner", "vendor", "guest")
    await house.fill("guest", room="tulip")
    moving = asyncio.create_task(house.leaving.move("rose", "balance", per_s=20.0))
    await house.turn(0.0)
    assert [len(house.said(number, "move")) for number in range(4)] == [0, 0, 1, 0]
    await house.turn(0.3)
    assert await moving == 3
    assert [len(house.said(number, "move")) for number in range(4)] == [1, 1, 1, 0]


async def test_when_the_fleet_stops_everybody_hears_when_to_come_back() -> None:
    house = House()
    await house.fill("planner", "guest")
    stopping = asyncio.create_task(house.leaving.stop("maintenance", 2.0))
    await house.turn(0.1)
    goodbyes = [house.said(number, "goodbye")[0] for number in range(2)]
    assert [goodbye["code"] for goodbye in goodbyes] == [4001, 4001]
    assert all(0 < goodbye["retry_after_ms"] <= 500 for goodbye in goodbyes)
    for member in house.members:
        house.hub.leave(member)
    await house.turn(0.1)
    assert await stopping == {}
