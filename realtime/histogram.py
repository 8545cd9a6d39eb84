"""Latency histograms that merge exactly. Buckets grow by 2^(1/32), the base of Prometheus' native schema 5: a bucket is 2.2 %
wide, so its edge is at most that much too long (DDSketch, ops.md 4.2).

Where somebody asks "how many within 100 ms?" the nearest edge was put exactly there (`EXPORTED_S`), so that such counts are
exact and what Prometheus gets is a plain sum of these buckets. No bucket becomes wider than 3.3 % by that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, log2

STEPS = 32
"""Buckets for a doubling."""
LAST = 1_024
"""2^32 us: more than an hour. Whatever takes longer is counted in one bucket after that."""
INDICES = range(LAST + 2)
EXPORTED_S = (
    *(0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.03),
    *(0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Edges of what Prometheus gets: fine where a good day is, exact at every objective (0.1, 0.25, 0.5 s; ops.md 4.2, 4.3)."""
Buckets = dict[int, int]
"""{index: count}, sparse."""


def _edges() -> tuple[float, ...]:
    edges = [float(2.0 ** (index / STEPS)) / 1_000_000 for index in range(LAST + 1)]
    for edge_s in EXPORTED_S:
        edges[round(STEPS * log2(edge_s * 1_000_000))] = edge_s
    return tuple(edges)


EDGES_S = _edges()


def index_of(seconds: float) -> int:
    """The bucket of a duration: `i` holds EDGES_S[i - 1] < seconds <= EDGES_S[i]."""
    return bisect_left(EDGES_S, seconds)


def edge_s(index: int) -> float:
    """The longest duration of a bucket; that after the last edge has no end, and gives its beginning."""
    return EDGES_S[min(index, LAST)]


def quantile_s(buckets: Buckets, q: float) -> float | None:
    """The duration that a share `q` of all did not exceed: nearest rank, the edge of its bucket. None: nothing was timed."""
    return quantiles_s([buckets], (q,))[0]


def quantiles_s(parts: Iterable[Buckets], shares: Sequence[float]) -> list[float | None]:
    """`quantile_s` of histograms taken together, for several shares. A rank is looked for in all at once, none is merged."""
    runs = [_run(part) for part in parts if part]
    total = sum(passed[-1] for _, passed in runs)
    if not total:
        return [None] * len(shares)

    def reached(index: int) -> int:
        found = 0
        for indices, passed in runs:
            found += passed[bisect_right(indices, index)]
        return found

    return [edge_s(bisect_left(INDICES, max(1, ceil(share * total)), key=reached)) for share in shares]


def _run(part: Buckets) -> tuple[list[int], list[int]]:
    """Its indices, rising, and how many events there were before the first, up to the first, up to the second, ..."""
    indices, known = sorted(part), list(part)
    counts = part.values() if indices == known else map(part.__getitem__, indices)
    return indices, list(accumulate(counts, initial=0))


def beyond(buckets: Buckets, limit_s: float) -> int:
    """How many took longer than the limit: exact for one of `EXPORTED_S`, else to the bucket."""
    edge = index_of(limit_s)
    return sum(count for index, count in buckets.items() if index > edge)


def within(buckets: Buckets, limits_s: Sequence[float]) -> list[int]:
    """How many took no longer than each limit (rising, of `EXPORTED_S`): exact. What Prometheus calls cumulative."""
    counts = [0] * (len(limits_s) + 1)
    for index, count in buckets.items():
        counts[bisect_left(limits_s, edge_s(index))] += count if index <= LAST else 0
    return list(accumulate(counts[:-1]))


def merged(parts: Iterable[Buckets]) -> Buckets:
    """All of them as one; exact."""
    total: Buckets = {}
    for part in parts:
        for index, count in part.items():
            total[index] = total.get(index, 0) + count
    return total


def added(now: Buckets, before: Buckets) -> Buckets:
    """What has come to a histogram that only grows."""
    return {index: count - before.get(index, 0) for index, count in now.items() if count > before.get(index, 0)}


def count(buckets: Buckets, index: int, n: int) -> None:
    """`n` more events in the bucket `index`."""
    buckets[index] = buckets.get(index, 0) + n


class Histogram:
    """Counts by bucket."""

    __slots__ = ("counts",)

    def __init__(self, counts: Buckets | None = None) -> None:
        self.counts: Buckets = {} if counts is None else counts

    def __len__(self) -> int:
        return sum(self.counts.values())

    def record(self, seconds: float, n: int = 1) -> None:
        """`n` events that took `seconds` each."""
        count(self.counts, index_of(seconds), n)

    def quantile_ms(self, q: float) -> float | None:
        """`quantile_s`, in milliseconds."""
        found = quantile_s(self.counts, q)
        return None if found is None else found * 1_000
