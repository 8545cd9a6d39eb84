"""The history's database hangs (it answers nothing) or is gone: deliveries, figures and decisions go on without it."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from realtime.clock import SystemClock
from realtime.drills.postgres import Postgres
from realtime.kinds import Priority
from tests.acceptance.crowd import Crowd
from tests.acceptance.outages import Outage, end, hang
from tests.processes import FleetServer, Processes, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]
ROOM = "rose-garden"
AWAY_S = 20.0
STALE_S = 6.0
"""Figures are made once a second, and forgotten after five."""
GOAL_MS = 100.0


def figure(text: str, name: str) -> float | None:
    """The value of a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def scraped(server: FleetServer) -> str:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


async def stored(url: str) -> None:
    """Wait until a summary of the fleet is in the database."""

    def so() -> bool:
        with psycopg.connect(url) as database:
            return database.execute("SELECT 1 FROM monitoring_sample LIMIT 1").fetchone() is not None

    await asyncio.to_thread(wait_until, so, "the first ten seconds are stored")


async def rows(server: FleetServer, wanted: Callable[[float], bool]) -> None:
    """Wait until so many wait for the database."""

    def so() -> bool:
        waiting = figure(scraped(server), "wedsync_history_waiting_rows")
        return waiting is not None and wanted(waiting)

    await asyncio.to_thread(wait_until, so, "as many rows wait for the history as are wanted")


@asynccontextmanager
async def talking(crowd: Crowd, prefix: str) -> AsyncIterator[None]:
    """Somebody says something ten times a second meanwhile."""
    over = asyncio.Event()

    async def talk() -> None:
        n = 0
        while not over.is_set():
            await crowd.say(0, 0, "chat.crew", {"text": f"{n}"}, f"{prefix}{n}")
            n += 1
            await asyncio.sleep(0.1)

    task = asyncio.create_task(talk())
    try:
        yield
    finally:
        over.set()
        await task


@pytest.mark.parametrize("how", [hang, end])
async def test_nothing_but_the_history_waits_for_it(processes: Processes, own_postgres: Postgres, how: Outage) -> None:
    url = processes.env["HISTORY_DATABASE_URL"] = await asyncio.to_thread(own_postgres.database)
    await asyncio.to_thread(processes.demo)
    server = await asyncio.to_thread(processes.fleet)
    clock = SystemClock()
    seen: list[float] = []
    async with Crowd(processes, ROOM, [f"ws://127.0.0.1:{server.port}"], {"planner": 3}) as crowd:
        async with talking(crowd, "usual"):
            await stored(url)
        back = await asyncio.to_thread(how, own_postgres)
        try:
            until_s = clock.monotonic() + AWAY_S
            async with talking(crowd, "away"):
                while clock.monotonic() < until_s:
                    text = await asyncio.to_thread(scraped, server)
                    if figure(text, "wedsync_history_waiting_rows") is not None:
                        seen.append(clock.monotonic())
                    await asyncio.sleep(0.2)
            waiting = figure(text, "wedsync_history_waiting_rows")
        finally:
            await asyncio.to_thread(back)
        gaps_s = [after - before for before, after in zip([until_s - AWAY_S, *seen], [*seen, until_s], strict=True)]
        assert max(gaps_s) < STALE_S
        assert waiting is not None and waiting > 0
        async with talking(crowd, "back"):
            await rows(server, lambda waiting: waiting == 0)
        assert figure(await asyncio.to_thread(scraped, server), "wedsync_history_dropped_total") == 0
        await crowd.settled()
    report = crowd.report()
    assert report.violations == [] and report.unanswered == 0
    p99_ms = crowd.history.latencies[Priority.P2].quantile_ms(0.99)
    assert p99_ms is not None and p99_ms < GOAL_MS
