"""Charts: the right summaries, every point accounted for, a bounded number of rows and queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from monitoring import queries
from monitoring.history import store
from monitoring.models import PlacementEvent, Sample, WeddingMinute
from monitoring.plots import PLOTS
from monitoring.rollup import POINTS_MAX, RESOLUTIONS, Summary, merge, percentiles_s
from monitoring.samples import Row
from tests.fakes import START
from tests.monitoring.days import rows

pytestmark = pytest.mark.django_db(databases=["default", "history"])
START_S = int(START.timestamp())
NOW = START + timedelta(hours=2)


@pytest.fixture
def two_hours() -> list[Row]:
    """Three workers, the third only in the second hour; ten minutes without anything."""
    made = [
        row
        for ten_seconds in rows(START_S, START_S + 7_200, 3, deliveries=6)
        for row in ten_seconds
        if (row[0] != "w3" or row[1] >= START_S + 3_600) and not 1_800 <= row[1] - START_S < 2_400
    ]
    store(made)
    return made


def test_a_chart_of_an_hour_is_what_was_seen(two_hours: list[Row]) -> None:
    chart = queries.chart("connections", START, START + timedelta(hours=1), NOW)
    assert chart.step_s == 10 and len(chart.at) == 360 and chart.at[0] == START_S
    mean = next(line for line in chart.lines if line.name == "mean")
    total = {at_s: summary for scope, at_s, summary in two_hours if scope == ""}
    assert mean.values == [
        total[at_s].connections_ms / 10_000 if at_s in total else None for at_s in range(START_S, START_S + 3_600, 10)
    ]
    assert mean.values[180:240] == [None] * 60, "what was not seen is not drawn"


def test_percentiles_of_a_long_span_are_of_the_merged_histograms(two_hours: list[Row]) -> None:
    chart = queries.chart("latency", START, START + timedelta(days=1), NOW, worker="w1")
    assert chart.step_s == 600 and chart.limit == 100.0
    p99 = next(line for line in chart.lines if line.name == "p99")
    for at_s, value in zip(chart.at, p99.values, strict=True):
        parts = [part for scope, start_s, part in two_hours if scope == "w1" and at_s <= start_s < at_s + 600]
        (expected,) = percentiles_s(merge(parts).latency, [0.99])
        assert value == (None if expected is None else expected * 1_000)


@pytest.mark.parametrize("counted_ms", [None, 10_000, 40_000], ids=["of an older release", "as watched", "after an outage"])
def test_a_rate_is_of_the_time_in_which_it_was_counted(counted_ms: int | None) -> None:
    store([("", START_S, Summary(covered_ms=10_000, deliveries=800)), ("", START_S + 10, Summary(covered_ms=10_000))])
    Sample.objects.filter(at=START).update(counted_ms=counted_ms)
    chart = queries.chart("deliveries", START, START + timedelta(minutes=1), NOW)
    line = next(line for line in chart.lines if line.name == "deliveries")
    assert line.values[:2] == [20.0 if counted_ms == 40_000 else 80.0, 0.0]
    (row,) = Sample.objects.filter(at=START, step_s=10)
    assert row.summary().counted_ms == (counted_ms or 10_000)


def test_a_line_for_each_worker(two_hours: list[Row]) -> None:
    assert queries.workers(START, NOW, NOW) == ["w1", "w2", "w3"]
    assert queries.workers(START, START + timedelta(minutes=50), NOW) == ["w1", "w2"]
    chart = queries.by_worker("latency", START, NOW, NOW)
    assert [line.name for line in chart.lines] == ["w1", "w2", "w3"]
    third = chart.lines[2].values
    assert set(third[:60]) == {None} and None not in third[60:120]
    with pytest.raises(KeyError):
        queries.by_worker("roles", START, NOW, NOW)


def test_every_plot_can_be_drawn_and_reads_little(two_hours: list[Row]) -> None:
    hour = (START, START + timedelta(hours=1), NOW)
    for name, plot in PLOTS.items():
        with CaptureQueriesContext(connections["history"]) as asked:
            chart = queries.chart(name, *hour)
        assert len(asked) == 1
        assert chart.lines and all(len(line.values) == len(chart.at) <= POINTS_MAX for line in chart.lines), name
        assert any(value is not None for line in chart.lines for value in line.values), name
        if plot.main:
            with CaptureQueriesContext(connections["history"]) as asked:
                each = queries.by_worker(name, *hour)
            assert len(asked) == 2 and len(each.at) * len(each.lines) <= queries.ROWS_MAX
            assert any(value is not None for line in each.lines for value in line.values), name


def test_the_present_is_in_every_resolution(two_hours: list[Row]) -> None:
    for resolution in RESOLUTIONS:
        end = NOW + timedelta(seconds=resolution.step_s)
        chart = queries.chart("connections", end - timedelta(seconds=resolution.step_s * 100), end, end)
        assert any(value is not None for value in chart.lines[0].values), resolution


def test_nothing_kept_is_an_empty_chart_not_a_zero() -> None:
    chart = queries.chart("connections", START, NOW, NOW)
    assert chart.lines == [] and len(chart.at) == 120
    assert queries.workers(START, NOW, NOW) == [] and queries.placements(START, NOW, NOW) == []


def test_placements_say_who_held_how_much_and_why_weddings_went(two_hours: list[Row]) -> None:
    for n in range(5):
        PlacementEvent.objects.create(
            at=START + timedelta(minutes=n), wedding=f"v{n}", source="w1", target="w2", sockets=40, reason=f"hot {n}"
        )
    one, two, three = queries.placements(START, NOW, NOW)
    assert (one.worker, one.moved_in, one.moved_out) == ("w1", 0, 5) and (two.moved_in, two.moved_out) == (5, 0)
    assert one.reasons == ["v4: w1 -> w2: hot 4", "v3: w1 -> w2: hot 3", "v2: w1 -> w2: hot 2"] and three.reasons == []
    assert one.weddings_most == max(s.weddings_most or 0 for scope, _, s in two_hours if scope == "w1")


def test_a_wedding_s_day() -> None:
    WeddingMinute.objects.bulk_create(
        WeddingMinute(
            wedding="rose-garden", at=START + timedelta(minutes=n), connections={"guest": n},
            deliveries=120, replayed=0, faults=0, latency={"400": 99, "500": 1},
        )
        for n in range(900)
    )  # fmt: skip
    people, deliveries, urgent = queries.wedding("rose-garden", START, START + timedelta(hours=15))
    assert people.step_s == 180 and len(people.at) <= POINTS_MAX
    assert people.lines[0].values[0] == 1.0 and deliveries.lines[0].values[:2] == [2.0, 2.0]
    assert [line.name for line in urgent.lines] == ["p50", "p95", "p99"] and urgent.limit == 100.0
    assert datetime.fromtimestamp(people.at[0], UTC) == START
