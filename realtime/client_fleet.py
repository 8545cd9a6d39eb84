"""What the clients of one process share, so that ten thousand of them cost little more than their sockets."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Protocol, Self

from realtime.clock import Clock

TICK_S = 0.05
"""How exact the timers of a fleet are; one wake-up every 50 ms costs nothing that could be measured."""
HANDSHAKES_MAX = 256
"""Handshakes at once in one fleet; the listen queue of the other side is not much longer."""


class Sleeper(Protocol):
    """Somebody who asked to be woken."""

    def wake(self, at_s: float) -> None: ...


class Fleet:
    """What the clients of a process share: one timer, and a bound on simultaneous handshakes."""

    def __init__(self, clock: Clock, *, handshakes: int = HANDSHAKES_MAX) -> None:
        self.clock = clock
        self.handshakes = asyncio.Semaphore(handshakes)
        self._due: list[tuple[float, int, Sleeper]] = []
        self._order = itertools.count()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="fleet")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self, client: Sleeper, at_s: float) -> None:
        """Call `client.wake` at `at_s`, about."""
        heapq.heappush(self._due, (at_s, next(self._order), client))

    async def _run(self) -> None:
        while True:
            await self.clock.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Wake who is due."""
        now_s = self.clock.monotonic()
        due = []
        while self._due and self._due[0][0] <= now_s:
            due.append(heapq.heappop(self._due))
        for at_s, _, client in due:
            client.wake(at_s)
