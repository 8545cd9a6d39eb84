"""The journal's database goes away under a running server, and comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.client import Client, Fleet
from realtime.client_events import Confirmed, Event, Received, Via
from realtime.clock import SystemClock
from realtime.drills.postgres import Postgres
from tests.acceptance.outages import Outage, end, hang
from tests.processes import Processes, answers

pytestmark = pytest.mark.acceptance
ROOM = "rose-garden"
FIRE = {"alert": "fire-1", "category": "fire", "text": "Leave by the lake side."}


class Person:
    """A member and what their screen showed."""

    def __init__(self, url: str, ticket: str, fleet: Fleet) -> None:
        self.events: list[Event] = []
        self.client = Client(url, ticket, fleet, on_event=self.events.append)

    def shown(self, kind: str) -> list[Received]:
        return [event for event in self.events if isinstance(event, Received) and event.pub.kind == kind]

    def confirmed(self) -> list[int]:
        return [event.pub.offset for event in self.events if isinstance(event, Confirmed)]


async def until(condition: Any, timeout_s: float = 20.0) -> float:
    """Seconds until it is so."""
    clock = SystemClock()
    started_s = clock.monotonic()
    while not condition():
        assert clock.monotonic() - started_s < timeout_s
        await asyncio.sleep(0.005)
    return clock.monotonic() - started_s


@pytest.mark.parametrize("how", [hang, end])
async def test_emergencies_leave_at_once_and_nothing_is_lost(processes: Processes, own_postgres: Postgres, how: Outage) -> None:
    processes.env["DATABASE_URL"] = own_postgres.database()
    processes.demo()
    server = await asyncio.to_thread(processes.server)
    url = f"ws://127.0.0.1:{server.port}/ws/weddings/{ROOM}/"
    async with Fleet(SystemClock()) as fleet:
        planner, guest = (Person(url, processes.ticket(ROOM, role)[0], fleet) for role in ("planner", "guest"))
        await asyncio.gather(planner.client.connect(), guest.client.connect())
        await planner.client.publish("chat.guests", {"text": "before"})
        back = await asyncio.to_thread(how, own_postgres)

        fire = asyncio.create_task(planner.client.publish("emergency.alert", FIRE))
        assert await until(lambda: guest.shown("emergency.alert")) < 2.0
        assert guest.shown("emergency.alert")[0].via is Via.PROVISIONAL
        chat = asyncio.create_task(planner.client.publish("chat.guests", {"text": "while it was away"}))
        planner.client.send("reaction", {"target": "cake", "emoji": "x"})
        await until(lambda: guest.shown("reaction"))
        await until(lambda: not answers(f"{server.url}/readyz"))
        assert not fire.done() and not chat.done()

        await asyncio.to_thread(back)
        offsets = [(await asyncio.wait_for(task, 30)).offset for task in (fire, chat)]
        await until(lambda: guest.client.session.position == max(offsets))
        await until(lambda: answers(f"{server.url}/readyz"))
        for person in (planner, guest):
            assert len(person.shown("emergency.alert")) == 1, "shown once, although it came twice"
            assert person.confirmed() == [offsets[0]]
            assert [event.pub.offset for event in person.shown("chat.guests")] == [1, offsets[1]]
            assert person.client.session.connections == 1
            await person.client.leave()
    assert sorted(offsets) == [2, 3]
