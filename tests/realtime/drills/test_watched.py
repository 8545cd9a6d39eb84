"""A drill on the running fleet is given up in the moment in which somebody real is affected."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.adapters.registry import MemoryRegistry
from realtime.clock import SystemClock
from realtime.drills import live
from realtime.drills.server import Running


class Hurried(SystemClock):
    """Nobody waits."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Playing:
    """A drill that goes on for ever."""

    alerts, may_fire = ("worker-missing",), ()
    server = Running("http://127.0.0.1:9", 1, "", "/nowhere", "redis://nowhere")

    def __init__(self) -> None:
        self.cancelled = False

    async def judged(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "never"

    def stopped(self, why: str) -> str:
        return why


def watched(monkeypatch: pytest.MonkeyPatch, pages: list[str], weddings: list[str]) -> tuple[Any, Playing]:
    drill, clock = Playing(), Hurried()
    monkeypatch.setattr(live, "registry_at", lambda url: MemoryRegistry(clock))
    monkeypatch.setattr(live, "pages", lambda: pages)
    monkeypatch.setattr(live, "open_weddings", lambda now: weddings)
    with asyncio.Runner() as runner:
        return runner.run(live.watched(drill, clock, overridden=False)), drill  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pages", "weddings", "why"),
    [
        (["worker-missing", "burn-now"], [], "a page fires: burn-now"),
        (["worker-missing"], ["rose"], "rose has its day now"),
    ],
)
def test_given_up(monkeypatch: pytest.MonkeyPatch, pages: list[str], weddings: list[str], why: str) -> None:
    said, drill = watched(monkeypatch, pages, weddings)
    assert said == why and drill.cancelled
