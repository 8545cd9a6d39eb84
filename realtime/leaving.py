"""Sending members elsewhere: one wedding, or everybody before this process ends. Paced, planners last, nobody cut off early."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable

from realtime.clock import Clock
from realtime.closing import CloseCode
from realtime.connection import Connection
from realtime.hub import Hub
from realtime.messages import Move
from realtime.policy.draining import rank, tell_per_s
from realtime.policy.returning import return_ms

logger = logging.getLogger(__name__)

STEP_S = 0.05
GOODBYE_S = 2.0
"""For the close handshakes after the last goodbye."""
AGAIN_S = 5.0
"""Who is still here is asked again: one that has only just come here by a move does not hear the first time."""
WITHIN_MS = 10_000
"""Told to a client: after this it will be closed with `MOVED`, when it has not gone by itself."""


class Leaving:
    """Who is told to go, and who has not gone. One for each process."""

    def __init__(self, hub: Hub, clock: Clock, rng: random.Random, resume: Callable[[Connection], str]) -> None:
        """`resume` makes a fresh ticket for the next connection of this one's member."""
        self._hub = hub
        self._resume = resume
        self._clock = clock
        self._rng = rng

    async def move(self, room: str, reason: str, per_s: float) -> int:
        """Ask the members of one wedding to come back elsewhere, guests first. Returns how many were asked."""
        members = self._members(room)
        for number, connection in enumerate(members):
            self._tell(connection, reason)
            if (number + 1) % max(1, round(per_s * STEP_S)) == 0:
                await self._clock.sleep(STEP_S)
        return len(members)

    async def drain(self, reason: str, deadline_s: float) -> dict[str, int]:
        """Ask everybody to go elsewhere, and close those who have not by then. Returns {role: how many those were}."""
        until_s = self._clock.monotonic() + deadline_s
        per_step = max(1, round(tell_per_s(len(self._members()), deadline_s) * STEP_S))
        told_s: dict[Connection, float] = {}
        while (here := self._members()) and (now_s := self._clock.monotonic()) < until_s:
            due = [c for c in here if now_s - told_s.get(c, -AGAIN_S) >= AGAIN_S]
            # Who has not been told yet comes before those who do not react: phones that sleep would keep planners waiting.
            for connection in sorted(due, key=told_s.__contains__)[:per_step]:
                self._tell(connection, reason)
                told_s[connection] = now_s
            await self._clock.sleep(STEP_S)
        left = Counter(connection.member.role for connection in here)
        await self._end(here, CloseCode.MOVED, reason, lambda c: 0)
        if left:
            logger.warning("%s: these had not gone elsewhere after %.0f s: %s", reason, deadline_s, dict(left))
        return dict(left)

    async def stop(self, reason: str, deadline_s: float) -> dict[str, int]:
        """There is nowhere else: tell everybody when to come back, and close. Returns {role: who did not even hear that}."""
        here = self._members()

        def slot_ms(connection: Connection) -> int:
            return self._rng.randrange(1, 1 + return_ms(connection.role, len(here), 0))

        await self._end(here, CloseCode.GOING_AWAY, reason, slot_ms)
        until_s = self._clock.monotonic() + deadline_s
        while (here := self._members()) and self._clock.monotonic() < until_s:
            await self._end([c for c in here if c.closing is None], CloseCode.GOING_AWAY, reason, slot_ms)
            await self._clock.sleep(STEP_S)
        left = Counter(connection.member.role for connection in here)
        if left:
            logger.warning("%s: these did not take the goodbye within %.0f s: %s", reason, deadline_s, dict(left))
        return dict(left)

    async def _end(
        self, members: Iterable[Connection], code: CloseCode, reason: str, retry_ms: Callable[[Connection], int]
    ) -> None:
        """Say goodbye to all of them, a few at a time."""
        for number, connection in enumerate(members):
            connection.end(code, reason, retry_after_ms=retry_ms(connection))
            if number % 100 == 99:
                await self._clock.sleep(0)
        until_s = self._clock.monotonic() + GOODBYE_S
        while any(self._members()) and code is CloseCode.MOVED and self._clock.monotonic() < until_s:
            await self._clock.sleep(STEP_S)

    def _tell(self, connection: Connection, reason: str) -> None:
        if connection.closing is None:
            connection.tell(Move(reason, WITHIN_MS, resume=self._resume(connection)))

    def _members(self, room: str = "") -> list[Connection]:
        rooms = [held for name, held in self._hub.rooms.items() if room in ("", name)]
        return sorted((connection for held in rooms for connection in held.members()), key=lambda c: rank(c.role))
