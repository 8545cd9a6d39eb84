"""The read side of history: what a chart shows, ready to be drawn. Every chart reads a bounded number of rows.

`chart` and `by_worker` take a span from minutes to years and choose the summaries that give at most 400 points. A stretch
without a record is None, never 0. `now` says how old the span is: fine summaries are kept for a shorter time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil

from django.db.models import Count, Max, Q, QuerySet
from msgspec import Struct

from monitoring.day_report import Minute
from monitoring.models.days import WeddingMinute
from monitoring.models.samples import Sample, counted_ms, unpacked
from monitoring.models.scaling import PlacementEvent
from monitoring.plots import PLOTS, WEDDING_PLOTS, Chart, Line, Plot, WeddingPlot
from monitoring.rollup import HISTOGRAMS, POINTS_MAX, Summary, resolution_for, start_of, starts
from monitoring.samples import TOTAL

ROWS_MAX, HISTOGRAMS_MAX = 1_200, 600
"""Rows read for one chart with a line for each worker: with more workers the points are fewer. A histogram costs more."""
MINUTES_MAX = 2 * 24 * 60
"""Of one wedding: a day is at most a night longer than a day."""
OVERVIEW_POINTS = 30
"""Enough to know who was there and the most of each."""
REASONS_MAX = 3


def chart(name: str, start: datetime, end: datetime, now: datetime, worker: str = TOTAL) -> Chart:
    """A chart of all workers together, or of one by its slot. Raises KeyError for a name that is not in `PLOTS`. One query."""
    plot, step_s = PLOTS[name], _step_s(start, end, now)
    found = _read(plot, _samples(step_s, start, end).filter(scope=worker))
    return _chart(plot, step_s, start, end, {at_s: plot.read(summary) for _, at_s, summary in found})


def by_worker(name: str, start: datetime, end: datetime, now: datetime) -> Chart:
    """A line for each worker: the `main` one of the plot. Raises KeyError for a plot without one. Two queries."""
    plot, slots = PLOTS[name], workers(start, end, now)
    if not plot.main:
        raise KeyError(name)
    rows_max = HISTOGRAMS_MAX if set(plot.fields) & set(HISTOGRAMS) else ROWS_MAX
    step_s = _step_s(start, end, now, min(POINTS_MAX, max(2, rows_max // max(1, len(slots)))))
    values: dict[int, dict[str, float | None]] = {}
    for slot, at_s, summary in _read(plot, _samples(step_s, start, end).exclude(scope=TOTAL)):
        values.setdefault(at_s, {})[slot] = plot.read(summary).get(plot.main)
    return _chart(plot, step_s, start, end, values, slots)


def workers(start: datetime, end: datetime, now: datetime) -> list[str]:
    """The slots that were filled within a span, w2 before w10. One query."""
    kept = _samples(_step_s(start, end, now, OVERVIEW_POINTS), start, end).exclude(scope=TOTAL)
    return sorted(kept.values_list("scope", flat=True).distinct(), key=_slot)


class Placement(Struct, frozen=True):
    """What was placed on one worker within a span."""

    worker: str
    weddings_most: int | None
    connections_most: int | None
    moved_in: int
    moved_out: int
    reasons: list[str]
    """Of the last moves, newest first."""


def placements(start: datetime, end: datetime, now: datetime) -> list[Placement]:
    """Who held how much, and what was moved. Three queries, and one for each worker."""
    moves = PlacementEvent.objects.filter(at__gte=start, at__lt=end).order_by()
    came = dict(moves.values_list("target").annotate(Count("id")))
    went = dict(moves.values_list("source").annotate(Count("id")))
    kept = _samples(_step_s(start, end, now, OVERVIEW_POINTS), start, end).exclude(scope=TOTAL)
    held = kept.values_list("scope").annotate(Max("weddings_most"), Max("connections_most"))
    most = {slot: (weddings, people) for slot, weddings, people in held}
    return [
        Placement(slot, *most.get(slot, (None, None)), came.get(slot, 0), went.get(slot, 0), _reasons(slot, moves))
        for slot in sorted({*most, *came, *went}, key=_slot)
    ]


def wedding(slug: str, start: datetime, end: datetime) -> list[Chart]:
    """People, deliveries and latency of one wedding; minutes, joined as far as 400 points ask for. One query."""
    step_s = 60 * ceil(((end - start).total_seconds() / 60 + 1) / POINTS_MAX)
    groups: dict[int, list[Minute]] = {}
    kept = WeddingMinute.objects.filter(wedding=slug, at__gte=_first(start, step_s), at__lt=end)
    for row in kept.order_by("at")[:MINUTES_MAX]:
        groups.setdefault(start_of(row.at.timestamp(), step_s), []).append(row.minute())
    return [
        _chart(plot, step_s, start, end, {at_s: plot.read(group) for at_s, group in groups.items()}) for plot in WEDDING_PLOTS
    ]


def _step_s(start: datetime, end: datetime, now: datetime, points_max: int = POINTS_MAX) -> int:
    return resolution_for((end - start).total_seconds(), (now - start).total_seconds(), points_max).step_s


def _first(start: datetime, step_s: int) -> datetime:
    return datetime.fromtimestamp(start_of(start.timestamp(), step_s), UTC)


def _samples(step_s: int, start: datetime, end: datetime) -> QuerySet[Sample]:
    return Sample.objects.filter(step_s=step_s, at__gte=_first(start, step_s), at__lt=end).order_by()


def _read(plot: Plot, rows: QuerySet[Sample]) -> Iterator[tuple[str, int, Summary]]:
    """(scope, beginning, its summary as far as the plot reads it), one after the other: a histogram is forgotten once it was
    read. Only those columns leave the database."""
    names = ("covered_ms", "counted_ms", *plot.fields)
    found = rows.values_list("scope", "at", "covered_ms", "counted_ms", *plot.fields)
    return (
        (scope, int(at.timestamp()), _summary(names, (covered_ms, counted_ms(counted, covered_ms), *values)))
        for scope, at, covered_ms, counted, *values in found
    )


def _summary(names: Sequence[str], values: Sequence[object]) -> Summary:
    known = zip(names, values, strict=True)
    return Summary(**{name: unpacked(bytes(value)) if name in HISTOGRAMS else value for name, value in known})  # type: ignore


def _chart(
    plot: Plot | WeddingPlot,
    step_s: int,
    start: datetime,
    end: datetime,
    values: dict[int, dict[str, float | None]],
    names: Sequence[str] = (),
) -> Chart:
    at = list(starts(start.timestamp(), end.timestamp(), step_s))
    names = names or list(dict.fromkeys(name for line in values.values() for name in line))
    lines = [Line(name, [values.get(at_s, {}).get(name) for at_s in at]) for name in names]
    return Chart(plot.name, plot.title, plot.unit, plot.about, step_s, at, lines, plot.limit)


def _reasons(slot: str, moves: QuerySet[PlacementEvent]) -> list[str]:
    of = moves.filter(Q(source=slot) | Q(target=slot)).order_by("-at", "-id")
    return [f"{move}: {move.reason}" for move in of[:REASONS_MAX]]


def _slot(name: str) -> tuple[int, str]:
    return len(name), name
