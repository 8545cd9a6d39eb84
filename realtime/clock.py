"""The only place that asks the system what time it is and the only one that sleeps, so that tests can turn the clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a shell may ask of time. Policies take `now_s: float` instead."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back; for durations."""

    def now(self) -> datetime:
        """Aware UTC; for what is stored or shown."""

    def cpu_s(self) -> float:
        """CPU time this process has used, seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""


class SystemClock:
    """The clock of the machine."""

    monotonic = staticmethod(time.monotonic)  # asked for every delivery: no call of ours around it

    def now(self) -> datetime:
        return datetime.now(UTC)

    def cpu_s(self) -> float:
        return time.process_time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TurnedClock(SystemClock):
    """A rehearsal's time of day: `start` when it was `began`, and `rate` times as fast. Durations are the machine's."""

    def __init__(self, start: datetime, began: datetime, rate: float) -> None:
        self._start, self._began, self._rate = start, began, rate

    def now(self) -> datetime:
        return self._start + self._rate * (super().now() - self._began)

    @classmethod
    def of(cls, text: str) -> TurnedClock:
        """From "START BEGAN RATE", moments in ISO 8601 with an offset. Raises ValueError with a sentence."""
        try:
            start, began, rate = text.split()
            clock = cls(datetime.fromisoformat(start), datetime.fromisoformat(began), float(rate))
            clock.now()
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"{text!r} is no START BEGAN RATE, two moments with an offset and a number") from None
        return clock

    def __str__(self) -> str:
        return f"{self._start.isoformat()} {self._began.isoformat()} {self._rate:g}"
