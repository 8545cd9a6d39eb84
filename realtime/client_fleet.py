"""What the clients of one process share, so that ten thousand of them cost little more than their sockets."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, Self

from realtime.clock import Clock
from realtime.messages import Sender

TICK_S = 0.01
"""How exact the timers of a fleet are. In a storm thirty come back in one tick; more at once would keep the others waiting."""
HANDSHAKES_MAX = 48
"""Handshakes at once in one fleet. More would not be back sooner: they wait at the other end, and each turn of the loops on the
way is as long as what waits for it. What is urgent took p99 70 to 125 ms in a storm of 10,000 with 128, and 40 ms so."""


FIRST, LAST = {"planner": 0, "staff": 0, "vendor": 1, "couple": 1}, 2
"""As they are let in at the other end (`realtime.policy.admission`)."""


def rank(member: Sender | None) -> int:
    """Who goes first of those that come back together: planners, then the crew. A newcomer does not know yet what it is."""
    return FIRST.get(member.role, LAST) if member is not None else LAST


class Door:
    """So many may be on their way in at once; of those who wait the one with the lowest rank is next."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def enter(self, rank: int) -> None:
        """Wait for a place; to be given back with `leave`."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came at the same moment
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to who is next."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Sleeper(Protocol):
    """Somebody who asked to be woken."""

    def wake(self, at_s: float) -> None: ...


class Fleet:
    """What the clients of a process share: one timer, and a bound on simultaneous handshakes."""

    def __init__(self, clock: Clock, *, handshakes: int = HANDSHAKES_MAX) -> None:
        self.clock = clock
        self._door = Door(handshakes)
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

    @asynccontextmanager
    async def door(self, rank: int) -> AsyncIterator[None]:
        """For one handshake; those of the lowest rank go first."""
        await self._door.enter(rank)
        try:
            yield
        finally:
            self._door.leave()

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
