"""What a connection holds while it is idle, and what it leaves behind when it is over: nothing."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from realtime.client import Client, Fleet
from realtime.clock import SystemClock
from tests.processes import Processes, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.daphne]
ROOM = "rose-garden"
MIB = 1_048_576
IDLE_MAX_KIB = 17.0


async def test_thousands_of_opens_and_closes_leave_the_memory_as_it_was(processes: Processes) -> None:
    processes.demo()
    server = await asyncio.to_thread(processes.server)
    watched = psutil.Process(server.process.pid)
    tickets = processes.ticket(ROOM, "guest", count=250)
    idle = watched.num_fds()

    async def round() -> float:
        async with Fleet(SystemClock()) as fleet:
            clients = [Client(f"ws://127.0.0.1:{server.port}/ws/weddings/{ROOM}/", ticket, fleet) for ticket in tickets]
            await asyncio.gather(*(client.connect() for client in clients))
            await asyncio.gather(*(client.leave() for client in clients))
        await asyncio.to_thread(wait_until, lambda: watched.num_fds() <= idle + 5, "the sockets are closed")
        return watched.memory_info().rss / MIB

    # The server forgets a connection up to two seconds after its end, so its memory has a high water, and keeps it.
    first = max([await round() for _ in range(12)])
    second = max([await round() for _ in range(12)])
    # 3,000 connections that stayed would be 14 KB each: 41 MiB.
    assert second - first < 20.0, f"{first:.1f} MiB became {second:.1f}"


async def test_an_idle_connection_holds_little(processes: Processes) -> None:
    processes.demo()
    server = await asyncio.to_thread(processes.server)
    watched = psutil.Process(server.process.pid)
    tickets = processes.ticket(ROOM, "guest", count=250)
    url = f"ws://127.0.0.1:{server.port}/ws/weddings/{ROOM}/"

    async with Fleet(SystemClock()) as fleet:
        held: list[Client] = []

        async def more(count: int) -> int:
            """Open `count` connections; the RSS with them, once what their handshakes needed has been let go of."""
            clients = [Client(url, tickets[n % len(tickets)], fleet) for n in range(count)]
            held.extend(clients)
            await asyncio.gather(*(client.connect() for client in clients))
            await asyncio.sleep(3)  # Daphne forgets the request of an upgrade up to two seconds later
            return watched.memory_info().rss

        before = await more(500)
        after = await more(2_000)
        each_kib = (after - before) / 1_024 / 2_000
        print(f"{each_kib:.1f} KiB of RSS for each of 2,000 idle connections")  # noqa: T201 - the figure of the report
        assert each_kib <= IDLE_MAX_KIB
        for client in held:
            client.drop()
