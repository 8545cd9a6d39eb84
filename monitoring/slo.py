"""How fast is the error budget of a wedding day burning? PURE: counts in, burn rates out.

A burn rate of 1 uses the budget up exactly at the end of the day. Targets and windows: background ops.md 4.3 and 4.4, which
shortens those of the SRE Workbook (chapter 5) from thirty days to the sixteen hours of a day with weddings. Both windows of a
pair must burn: the long one says that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

DAY_H = 16.0
"""The day that windows and buckets are given for; those of a shorter day are shorter (`Budget`)."""
BUCKET_S = 5.0
"""Fine enough for the shortest window of 30 s; 1,440 buckets for the longest of 2 h."""
EVENTS_MIN = 100
"""With fewer events in the long window a single late one would page; the canaries are asked then."""


class Objective(Struct, frozen=True):
    """`target` of the events are good."""

    name: str
    target: float

    def burn(self, bad: int, total: int) -> float:
        """The share of bad events over the share that is allowed. `total` > 0."""
        return bad / total / (1.0 - self.target)


class Pair(Struct, frozen=True):
    """A long and a short window, seconds."""

    name: str
    long_s: float
    short_s: float


FAST = Pair("5m", 300, 30)
SLOW = Pair("30m", 1_800, 150)
DAY = Pair("2h", 7_200, 600)
PAIRS = (FAST, SLOW, DAY)


class Budget:
    """Counts of good and bad events of one objective over the last two hours of a day of sixteen, in bounded memory. `scale`: a
    day of so many times that length has windows that are so many times as long, and burns the same share of its budget."""

    def __init__(self, objective: Objective, scale: float = 1.0) -> None:
        self.objective = objective
        self._scale = scale
        self._buckets: deque[list[float]] = deque(maxlen=int(DAY.long_s / BUCKET_S) + 1)

    def add(self, now_s: float, *, bad: int, total: int) -> None:
        """Events up to `now_s`, or some of the past that become known late. Negative counts are a caller's mistake."""
        start_s = now_s - now_s % (BUCKET_S * self._scale)
        newer: list[list[float]] = []
        while self._buckets and self._buckets[-1][0] > start_s:
            newer.append(self._buckets.pop())
        if not self._buckets or self._buckets[-1][0] != start_s:
            self._buckets.append([start_s, 0, 0])
        self._buckets[-1][1] += bad
        self._buckets[-1][2] += total
        self._buckets.extend(reversed(newer))

    def counts(self, window_s: float, now_s: float) -> tuple[int, int]:
        """(bad, all) of the last `window_s` (of a day of sixteen hours), to the bucket."""
        bad = total = 0.0
        for start_s, some_bad, some in reversed(self._buckets):
            if start_s <= now_s - (window_s + BUCKET_S) * self._scale:
                break
            bad, total = bad + some_bad, total + some
        return int(bad), int(total)

    def burning(self, pair: Pair, now_s: float, canary: Budget | None = None) -> float | None:
        """The smaller burn rate of the two windows. None: too few events to tell, of the canaries too."""
        bad, total = self.counts(pair.long_s, now_s)
        if total < EVENTS_MIN:
            return canary.burning(pair, now_s) if canary is not None else None
        short_bad, short_total = self.counts(pair.short_s, now_s)
        short = self.objective.burn(short_bad, short_total) if short_total else 0.0
        return min(self.objective.burn(bad, total), short)
