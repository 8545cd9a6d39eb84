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

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def cpu_s(self) -> float:
        return time.process_time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
