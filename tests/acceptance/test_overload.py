"""Guests say several times what the process can carry: what is urgent gets through in time, guests are told to wait."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from realtime.kinds import Priority
from tests.acceptance.crowd import Crowd
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.daphne]
ROOM = "rose-garden"
FLOOD_PER_S, SECONDS = 30_000, 8
GOAL_MS = 100.0


async def test_guests_are_shed_and_told_and_what_is_urgent_is_in_time(processes: Processes, tmp_path: Path) -> None:
    processes.demo()
    # As many guests as it takes would be thousands; here each may say as much as a few hundred.
    server = await asyncio.to_thread(processes.server, WEDSYNC_GUEST_RATE_PER_S="100000")
    tickets = processes.ticket(ROOM, "guest", count=10)
    arguments = ["-m", "tests.acceptance.flood", str(server.port), ROOM, str(FLOOD_PER_S), str(SECONDS), *tickets]
    async with Crowd(processes, ROOM, [server.url.replace("http", "ws")], {"vendor": 6}) as crowd:
        out = (tmp_path / "flood.json").open("wb")
        flood = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=out)
        for n in range(SECONDS * 10):
            kind, data = ("vendor.status", {"vendor": "DJ", "status": "on_site", "reason": f"{n}"})
            if n == SECONDS * 5:
                kind, data = ("emergency.alert", {"alert": "a", "category": "fire", "text": "Out!"})
            await asyncio.gather(crowd.say(0, n % 6, kind, data, f"p{n}"), asyncio.sleep(0.1))
        assert await flood.wait() == 0
        out.close()
        await crowd.settled()
        p0, p1 = crowd.history.latencies[Priority.P0], crowd.history.latencies[Priority.P1]
        report = crowd.report()
    counts = json.loads((tmp_path / "flood.json").read_bytes())
    assert counts["sent"] > 3 * counts["ok"], f"the flood was no overload: {counts}"
    assert counts["overloaded"] > 0, "they were told"
    # What the flood said is not in the history: to the checker it comes from nowhere.
    assert [violation.name for violation in report.violations if violation.name != "phantom"] == []
    assert report.unanswered == 0
    assert len(p1) > 300 and len(p0) == 6
    assert (p1.quantile_ms(0.99) or 0) < GOAL_MS and (p0.quantile_ms(0.99) or 0) < GOAL_MS
