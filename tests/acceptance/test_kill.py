"""The server is killed while people publish over WebSocket, over HTTP and inside transactions: what was acknowledged is there,
once, without a hole, and every change of the domain has its publication."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import signal
import sys
from typing import Any

import pytest

from realtime.client import Client, Fleet
from realtime.clock import SystemClock
from tests.processes import Processes, Server, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried]

ROUNDS = int(os.environ.get("WEDSYNC_TEST_KILL_ROUNDS", "20"))
OVER_WEBSOCKET, OVER_HTTP, IN_TRANSACTIONS = 500, 250, 250
ROOMS = ["rose-garden", "harbour-loft", "two-day-sangeet"]
READ_JOURNAL = """
import json
from realtime.models import JournalEntry, OutboxEntry, Room
from wedsync.weddings.models import Wedding
print(json.dumps({
    "entries": [list(row) for row in JournalEntry.objects.values_list("room__name", "offset", "member", "client_id")],
    "rooms": dict(Room.objects.values_list("name", "last_offset")),
    "outbox": OutboxEntry.objects.count(),
    "guests": dict(Wedding.objects.values_list("slug", "invited_guests")),
}))
"""


class Site:
    """A server on one port that is killed and comes back, and those who publish to it."""

    def __init__(self, processes: Processes, seed: int) -> None:
        self.processes = processes
        self.rng = random.Random(seed)
        self.logins = processes.demo()
        self.port = free_port()
        self.server: Server | None = None
        self.acknowledged: dict[tuple[str, str], int] = {}
        self.guests = self.read()["guests"]
        self.answered = asyncio.Event()

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.processes.manage("shell", "-v0", "-c", READ_JOURNAL).strip().splitlines()[-1])
        return found

    def acknowledge(self, room: str, id: str, offset: int) -> None:
        before = self.acknowledged.setdefault((room, id), offset)
        assert before == offset, f"{room} {id} was acknowledged at {before} and at {offset}"
        self.answered.set()

    async def over_websocket(self, fleet: Fleet, tickets: dict[str, str], prefix: str) -> None:
        clients = {
            room: Client(f"ws://127.0.0.1:{self.port}/ws/weddings/{room}/", ticket, fleet) for room, ticket in tickets.items()
        }
        for client in clients.values():
            client.start()

        async def say(n: int) -> None:
            room, id = ROOMS[n % 3], f"{prefix}-{n}"
            ok = await clients[room].publish("chat.crew", {"text": f"number {n}"}, id=id)
            self.acknowledge(room, id, ok.offset)

        await asyncio.gather(*(say(n) for n in range(OVER_WEBSOCKET)))
        for client in clients.values():
            await client.leave()

    async def over_http(self, prefix: str) -> None:
        for n in range(OVER_HTTP):
            room, id = ROOMS[n % 3], f"{prefix}-{n}"
            body = json.dumps({"id": id, "kind": "chat.crew", "data": {"text": f"number {n}"}})
            while (offset := await asyncio.to_thread(self.post, room, body)) is None:
                await asyncio.sleep(0.05)
            self.acknowledge(room, id, offset)

    def post(self, room: str, body: str) -> int | None:
        """The offset, None when there was no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            token = self.logins["weddings"][room]["api_token"]
            connection.request("POST", f"/api/weddings/{room}/publish/", body, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        assert response.status in (200, 201), answer
        return int(answer["offset"])

    async def in_transactions(self, prefix: str, killed: asyncio.Event) -> None:
        """A program of its own, killed when the server is, and started again."""
        command = [sys.executable, "-m", "tests.acceptance.atomic_writer", prefix, str(IN_TRANSACTIONS), *ROOMS]
        first = self.processes.start(*command, name="writer")
        await killed.wait()
        first.send_signal(signal.SIGKILL)
        again = self.processes.start(*command, name="writer")
        assert await asyncio.to_thread(again.wait, 60) == 0

    async def round(self, fleet: Fleet, tickets: dict[str, str], prefix: str) -> None:
        if self.server is None:
            self.server = await asyncio.to_thread(self.processes.server, self.port)
        killed = asyncio.Event()
        publishers = [
            asyncio.create_task(self.over_websocket(fleet, tickets, f"{prefix}w")),
            asyncio.create_task(self.over_http(f"{prefix}h")),
            asyncio.create_task(self.in_transactions(f"{prefix}t", killed)),
        ]
        wanted = len(self.acknowledged) + self.rng.randrange(1, (OVER_WEBSOCKET + OVER_HTTP) * 3 // 4)
        while len(self.acknowledged) < wanted:
            self.answered.clear()
            await asyncio.wait_for(self.answered.wait(), 30)
        self.server.kill()
        killed.set()
        self.server = await asyncio.to_thread(self.processes.server, self.port)
        await asyncio.wait_for(asyncio.gather(*publishers), 90)

    def verify(self, prefixes: list[str]) -> None:
        found = self.read()
        if found["outbox"]:  # what the last kill left is swept at the next start
            self.processes.server(self.port).kill()
            found = self.read()
        assert found["outbox"] == 0
        by_room: dict[str, dict[int, tuple[str, str]]] = {room: {} for room in ROOMS}
        for room, offset, member, client_id in found["entries"]:
            assert offset not in by_room[room]
            by_room[room][offset] = (member, client_id)
        for room, entries in by_room.items():
            assert sorted(entries) == list(range(1, found["rooms"][room] + 1)), f"{room} has a hole"
            assert len(set(entries.values())) == len(entries), f"{room} has something twice"
        for (room, id), offset in self.acknowledged.items():
            assert by_room[room].get(offset, ("", ""))[1] == id, f"{room}: {id} was acknowledged at {offset} and is not there"
        for number, room in enumerate(ROOMS):
            ids = {id for _, id in by_room[room].values()}
            wanted = [f"{p}t-{n}" for p in prefixes for n in range(1, IN_TRANSACTIONS + 1) if n % 3 == number]
            assert set(wanted) <= ids
            assert found["guests"][room] - self.guests[room] == len(wanted)


async def run(site: Site) -> None:
    tickets = {room: site.processes.ticket(room, "load")[0] for room in ROOMS}
    prefixes = [f"r{n}" for n in range(ROUNDS)]
    async with Fleet(SystemClock()) as fleet:
        for prefix in prefixes:
            await site.round(fleet, tickets, prefix)
    assert site.server is not None
    site.server.kill()
    site.verify(prefixes)
    assert len(site.acknowledged) == ROUNDS * (OVER_WEBSOCKET + OVER_HTTP)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_what_was_acknowledged_survives(processes: Processes, database: str, request: pytest.FixtureRequest) -> None:
    if database == "postgresql":
        processes.env["DATABASE_URL"] = request.getfixturevalue("postgres").database()
    site = Site(processes, seed=2027)
    await run(site)
    assert site.acknowledged
