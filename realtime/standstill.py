"""Whether this process stood still (stopped, swapped out): what it reads in the moment after that is old."""

from __future__ import annotations

import math

from realtime.clock import Clock
from realtime.publication import Entry

FLEETING_MAX_AGE_S = 5.0
"""Who is typing, or clapping, is of no interest after this; far above every delay that is none of a process standing still."""
STANDSTILL_S, STALE_S = 2.0, 0.5
"""A loop that was late by so much has stood still; what waited in its sockets is read within so much more."""


class Standstill:
    """Notices it by the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alive_s, self._until_s = math.inf, 0.0

    def alive(self) -> None:
        """Called ten times a second, if this process can. After a standstill what has waited in the sockets comes first."""
        now_s = self._clock.monotonic()
        if now_s - self._alive_s > STANDSTILL_S:
            self._until_s = now_s + STALE_S
        self._alive_s = now_s

    @property
    def lately(self) -> bool:
        """Whether it has just ended, or would be noticed now."""
        now_s = self._clock.monotonic()
        return now_s - self._alive_s > STANDSTILL_S or now_s < self._until_s

    def outlived(self, entry: Entry) -> bool:
        """Whether something fleeting has waited here until it was worth nothing.

        The wall clocks of two machines may be minutes apart: they are asked only after a standstill.
        """
        if entry.received_s is not None:
            return self._clock.monotonic() - entry.received_s > FLEETING_MAX_AGE_S
        return self.lately and (self._clock.now() - entry.at).total_seconds() > FLEETING_MAX_AGE_S
