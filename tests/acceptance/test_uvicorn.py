"""On a server without our protocol the same consumer goes through ASGI's `send`."""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.crowd import MIX, Crowd
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried]


async def test_uvicorn_serves_the_same_rooms(processes: Processes) -> None:
    processes.demo()
    server = await asyncio.to_thread(processes.server, asgi="uvicorn")
    async with Crowd(processes, "rose-garden", [server.url.replace("http", "ws")], MIX) as crowd:
        await crowd.talk(0, {"planner": 60, "couple": 20, "vendor": 20, "guest": 2}, "u")
        for client, _, _ in crowd.groups[0][:5]:
            client.drop()
        await crowd.talk(0, {"planner": 10}, "v")
        await crowd.settled()
    report = crowd.report()
    assert report.violations == [] and report.unanswered == 0
    assert report.expected > 3_000
