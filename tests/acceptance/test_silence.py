"""A phone behind a network that goes silent without closing anything."""

from __future__ import annotations

import asyncio

import pytest

from realtime.drills.proxy import ChaosProxy
from tests.acceptance.crowd import Crowd
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried]
ROOM = "rose-garden"
SILENT_S = 60.0


async def test_sixty_silent_seconds_lose_nothing(processes: Processes) -> None:
    processes.demo()
    server = await asyncio.to_thread(processes.server)
    async with ChaosProxy("127.0.0.1", server.port) as proxy:
        urls = [f"ws://127.0.0.1:{server.port}", f"ws://127.0.0.1:{proxy.port}"]
        async with Crowd(processes, ROOM, urls, {"planner": 2}) as crowd:
            await crowd.talk(0, {"planner": 3}, "before")
            await crowd.settled()
            proxy.silent()
            said = [asyncio.create_task(crowd.say(1, 0, "chat.crew", {"text": f"{n}"}, f"mine{n}")) for n in range(5)]
            meanwhile = asyncio.create_task(crowd.talk(0, {"planner": 100}, "away"))
            await asyncio.sleep(SILENT_S)
            await meanwhile
            assert not any(task.done() for task in said)
            proxy.forward(reset=True)
            offsets = await asyncio.gather(*said)
            await crowd.settled()
    report = crowd.report()
    assert report.violations == [] and report.unanswered == 0
    assert len(set(offsets)) == 5
    phone = crowd.groups[1][0][0]
    assert phone.session.gaps == 0
    assert report.expected == report_expected(crowd)


def report_expected(crowd: Crowd) -> int:
    """Every publication at every member."""
    return len(crowd.history.members) * sum(message.sent for message in crowd.history.messages)
