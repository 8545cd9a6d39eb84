"""What connections leave behind when they are over: nothing."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from realtime.client import Client, Fleet
from realtime.clock import SystemClock
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.acceptance
ROOM = "rose-garden"
MIB = 1_048_576


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
