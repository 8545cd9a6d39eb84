"""Latency histograms that merge exactly. Buckets grow by 2^(1/32), the base of Prometheus' native schema 5: a bucket is 2.2 %
wide, so its middle is at most 1.1 % wrong (DDSketch, ops.md 4.2)."""

from __future__ import annotations

from math import ceil, log2

STEPS = 32
"""Buckets for a doubling."""


def index_of(seconds: float) -> int:
    """The bucket of a duration: `i` holds 2^((i-1)/32) < microseconds <= 2^(i/32)."""
    microseconds = seconds * 1_000_000
    return ceil(STEPS * log2(microseconds)) if microseconds > 1 else 0


class Histogram:
    """Counts by bucket, sparse."""

    __slots__ = ("counts",)

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self.counts: dict[int, int] = counts if counts is not None else {}

    def record(self, seconds: float, n: int = 1) -> None:
        """`n` events that took `seconds` each."""
        index = index_of(seconds)
        self.counts[index] = self.counts.get(index, 0) + n
