"""Sums over the last minutes that cost the same however long the window is. No I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from msgspec import Struct

from realtime.histogram import Buckets, beyond, merged, quantile_s

MINUTE_S = 60.0
PROMISE_WINDOW_S = 300.0
"""A wedding is judged over so long: it says about one urgent thing a minute."""
STEP_S = 5.0
LIMIT_S = 0.1
"""The promise: 99 of 100 deliveries of P0 and P1 within this."""
ALLOWED_SHARE = 0.01


class Second(Struct, frozen=True):
    """What has come since the second before. `latency` and `deliveries` by priority."""

    at_s: float
    span_s: float
    deliveries: Mapping[str, int]
    latency: Mapping[str, Buckets]
    joins: int


class Minute:
    """The last 60 seconds of the fleet."""

    def __init__(self) -> None:
        self._seconds: deque[Second] = deque()
        self.deliveries: Counter[str] = Counter()
        self.latency: dict[str, Counter[int]] = {}
        self.joins = 0
        self.seconds = 0.0

    def add(self, second: Second) -> None:
        """The next second; what is older than a minute goes."""
        self._count(second, 1)
        self._seconds.append(second)
        while self._seconds[0].at_s <= second.at_s - MINUTE_S:
            self._count(self._seconds.popleft(), -1)

    def _count(self, second: Second, sign: int) -> None:
        self.joins += sign * second.joins
        self.seconds += sign * second.span_s
        for priority, count in second.deliveries.items():
            self.deliveries[priority] += sign * count
        for priority, buckets in second.latency.items():
            total = self.latency.setdefault(priority, Counter())
            for index, count in buckets.items():
                total[index] += sign * count
                if not total[index]:
                    del total[index]


class Judged:
    """P0 and P1 of one wedding in the last five minutes, and what its clients complained of."""

    __slots__ = ("_steps", "faults", "judged", "late")

    def __init__(self) -> None:
        # (when it began, latency, late, faults)
        self._steps: deque[tuple[float, Buckets, int, int]] = deque()
        self.judged = self.late = self.faults = 0

    def add(self, now_s: float, latency: Buckets, faults: int) -> None:
        """What has come; kept in steps of five seconds."""
        start_s = now_s - now_s % STEP_S
        late = beyond(latency, LIMIT_S)
        if self._steps and self._steps[-1][0] == start_s:
            _, before, late_before, faults_before = self._steps.pop()
            self._steps.append((start_s, merged((before, latency)), late_before + late, faults_before + faults))
        else:
            self._steps.append((start_s, latency, late, faults))
        self.judged += sum(latency.values())
        self.late += late
        self.faults += faults

    def forget(self, now_s: float) -> bool:
        """Let go of what is older than the window. Whether nothing is left."""
        while self._steps and self._steps[0][0] <= now_s - PROMISE_WINDOW_S:
            _, latency, late, faults = self._steps.popleft()
            self.judged -= sum(latency.values())
            self.late -= late
            self.faults -= faults
        return not self._steps

    @property
    def promise(self) -> str:
        """kept, late, broken (something was lost, doubled or out of order) or quiet (there is nothing to judge)."""
        if self.faults:
            return "broken"
        if not self.judged:
            return "quiet"
        return "late" if self.late > ALLOWED_SHARE * self.judged else "kept"

    @property
    def p99_s(self) -> float | None:
        """None: nothing was timed."""
        return quantile_s(merged(latency for _, latency, _, _ in self._steps), 0.99)
