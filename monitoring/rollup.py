"""Summaries of stretches of time, how they become longer ones, and which length a chart wants. PURE.

All of a summary are whole numbers that are added, or the least, the most, the last: so a roll-up of roll-ups is the roll-up of
what they were made of, to the last digit. Means and percentiles are only ever taken from a summary, never kept or averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct

from realtime.histogram import Buckets, merged, quantiles_s


class Resolution(Struct, frozen=True):
    """One length of summaries, and for how long they are kept."""

    step_s: int
    kept: timedelta


DAY = timedelta(days=1)
RESOLUTIONS = (
    # What ops.md 4.6 keeps, and three more: a chart of a season or a year would have to read 9,000 hours of each worker.
    Resolution(10, 2 * DAY),
    Resolution(60, 14 * DAY),
    Resolution(600, 90 * DAY),
    Resolution(3_600, 730 * DAY),
    Resolution(21_600, 730 * DAY),
    Resolution(86_400, 730 * DAY),
    Resolution(604_800, 730 * DAY),
)
RAW = RESOLUTIONS[0]
POINTS_MAX = 400
"""Of a line in a chart: as many as a wide screen can tell apart, few enough to read in a moment."""


class Summary(Struct, frozen=True):
    """One worker, or all of them, in one stretch of time. `_ms`: added up over milliseconds, so that `x_ms / covered_ms` is the
    mean. A field named `_least`, `_most` or `_last` is that; all others are added. None: not measured."""

    covered_ms: int = 0
    """How much of the stretch was watched."""
    counted_ms: int = 0
    """In which the counts came: also the time before, in which nobody could be asked. 0: in what was watched."""
    connections_ms: int = 0
    connections_least: int | None = None
    connections_most: int | None = None
    connections_last: int | None = None
    roles_ms: dict[str, int] = {}
    """{role: connections, added up}."""
    workers_ms: int = 0
    workers_least: int | None = None
    workers_most: int | None = None
    wanted_last: int | None = None
    """Workers the scaler wants; of all together only."""
    weddings_most: int | None = None
    cpu_us: int = 0
    """CPU time used while it was measured, in `cpu_known_ms`."""
    cpu_known_ms: int = 0
    busy_most: float | None = None
    """Of one second; 1.0 is a whole core."""
    lag_s_most: float | None = None
    rss_bytes_most: int | None = None
    outbox_bytes_ms: int = 0
    outbox_bytes_most: int | None = None
    publications: int = 0
    deliveries: int = 0
    joins: int = 0
    joins_refused: int = 0
    shed: int = 0
    too_slow: int = 0
    faults: int | None = None
    latency: dict[str, Buckets] = {}
    """{priority: server latency of all deliveries}."""
    acked: dict[str, Buckets] = {}

    def mean(self, field_ms: int) -> float | None:
        """Of something that was added up over the time watched."""
        return field_ms / self.covered_ms if self.covered_ms else None

    def per_s(self, count: int) -> float | None:
        """A rate. What came while nobody could be asked is no burst of the moment after it."""
        span_ms = self.counted_ms or self.covered_ms
        return count * 1_000 / span_ms if span_ms else None


DEFAULTS = {name: getattr(Summary(), name) for name in Summary.__struct_fields__}
HISTOGRAMS = ("latency", "acked")


def merge(parts: Sequence[Summary]) -> Summary:
    """All of them, oldest first, as one. Exact; in whatever portions it is done."""
    return Summary(**{name: _merged(name, [getattr(part, name) for part in parts]) for name in DEFAULTS})


def _merged(name: str, values: list[Any]) -> Any:
    if name in HISTOGRAMS:
        return {key: merged(part.get(key, {}) for part in values) for key in sorted({key for part in values for key in part})}
    if name == "roles_ms":
        return _added(values)
    known = [value for value in values if value is not None]
    if not known:
        return DEFAULTS[name]
    if name.endswith("_least"):
        return min(known)
    if name.endswith("_most"):
        return max(known)
    return known[-1] if name.endswith("_last") else sum(known)


def _added(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for key, count in part.items():
            total[key] = total.get(key, 0) + count
    return total


def start_of(at_s: float, step_s: int) -> int:
    """When the stretch that holds this moment began, UTC seconds."""
    return int(at_s // step_s) * step_s


def starts(start_s: float, end_s: float, step_s: int) -> range:
    """The beginnings of all stretches that reach into [start, end)."""
    return range(start_of(start_s, step_s), int(-(-end_s // 1)), step_s)


def resolution_for(span_s: float, age_s: float, points_max: int = POINTS_MAX) -> Resolution:
    """The finest summaries that give at most `points_max` points for a span and are still kept `age_s` back; the coarsest there
    are when none do."""
    for resolution in RESOLUTIONS:
        # One more: the first and the last stretch may lie half outside.
        if span_s / resolution.step_s + 1 <= points_max and age_s <= resolution.kept.total_seconds():
            return resolution
    return RESOLUTIONS[-1]


def percentiles_s(histograms: dict[str, Buckets], shares: Sequence[float], names: Sequence[str] = ()) -> list[float | None]:
    """Percentiles of these priorities together (all, when none is named), seconds. None: nothing was timed."""
    return quantiles_s((histograms[name] for name in (names or histograms) if name in histograms), shares)
