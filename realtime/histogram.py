"""Latency histograms that merge exactly. Buckets grow by 2^(1/32), the base of Prometheus' native schema 5: a bucket is 2.2 %
wide, so its middle is at most 1.1 % wrong (DDSketch, ops.md 4.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import ceil, log2

STEPS = 32
"""Buckets for a doubling."""
Buckets = dict[int, int]
"""{index: count}, sparse."""


def index_of(seconds: float) -> int:
    """The bucket of a duration: `i` holds 2^((i-1)/32) < microseconds <= 2^(i/32)."""
    microseconds = seconds * 1_000_000
    return ceil(STEPS * log2(microseconds)) if microseconds > 1 else 0


def edge_s(index: int) -> float:
    """The longest duration of a bucket."""
    return float(2.0 ** (index / STEPS)) / 1_000_000


def quantile_s(buckets: Buckets, q: float) -> float | None:
    """The duration that a share `q` of all did not exceed: nearest rank, the edge of its bucket. None: nothing was timed."""
    wanted, passed = max(1, ceil(q * sum(buckets.values()))), 0
    for index in sorted(buckets):
        passed += buckets[index]
        if passed >= wanted:
            return edge_s(index)
    return None


def beyond(buckets: Buckets, limit_s: float) -> int:
    """How many took longer than the limit, to the bucket: 2.2 %."""
    edge = index_of(limit_s)
    return sum(count for index, count in buckets.items() if index > edge)


def merged(parts: Iterable[Buckets]) -> Buckets:
    """All of them as one; exact."""
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def added(now: Buckets, before: Buckets) -> Buckets:
    """What has come to a histogram that only grows."""
    return {index: count - before.get(index, 0) for index, count in now.items() if count > before.get(index, 0)}


class Histogram:
    """Counts by bucket."""

    __slots__ = ("counts",)

    def __init__(self, counts: Buckets | None = None) -> None:
        self.counts: Buckets = {} if counts is None else counts

    def __len__(self) -> int:
        return sum(self.counts.values())

    def record(self, seconds: float, n: int = 1) -> None:
        """`n` events that took `seconds` each."""
        index = index_of(seconds)
        self.counts[index] = self.counts.get(index, 0) + n

    def quantile_ms(self, q: float) -> float | None:
        """`quantile_s`, in milliseconds."""
        found = quantile_s(self.counts, q)
        return None if found is None else found * 1_000
