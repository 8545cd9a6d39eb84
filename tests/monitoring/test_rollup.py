"""Summaries merge exactly in whatever portions; a chart gets the finest that fits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.rollup import POINTS_MAX, RESOLUTIONS, Summary, merge, percentiles_s, resolution_for, start_of, starts
from realtime.histogram import index_of

COUNT = st.integers(0, 10_000)
MAYBE = st.none() | COUNT
BUCKETS = st.dictionaries(st.integers(0, 1_024), st.integers(1, 1_000), max_size=5)
SUMMARIES = st.lists(
    st.builds(
        Summary,
        covered_ms=COUNT,
        counted_ms=COUNT,
        connections_ms=COUNT,
        connections_least=MAYBE,
        connections_most=MAYBE,
        connections_last=MAYBE,
        roles_ms=st.dictionaries(st.sampled_from(["guest", "planner"]), COUNT),
        wanted_last=MAYBE,
        busy_most=st.none() | st.floats(0, 8),
        deliveries=COUNT,
        faults=MAYBE,
        latency=st.dictionaries(st.sampled_from(["P0", "P1"]), BUCKETS, max_size=2),
    ),
    max_size=8,
)


@given(SUMMARIES, st.integers(0, 8))
def test_a_roll_up_of_roll_ups_is_the_roll_up(parts: list[Summary], cut: int) -> None:
    assert merge([merge(parts[:cut]), merge(parts[cut:])]) == merge(parts)
    assert merge([merge([part]) for part in parts]) == merge(parts)


def test_least_most_last_and_sums() -> None:
    one = Summary(covered_ms=10_000, connections_ms=50_000, connections_least=4, connections_most=7, connections_last=5, shed=1)
    two = Summary(covered_ms=5_000, connections_ms=45_000, connections_least=9, connections_most=9, connections_last=9, shed=2)
    both = merge([one, two])
    assert (both.connections_least, both.connections_most, both.connections_last, both.shed) == (4, 9, 9, 3)
    assert both.mean(both.connections_ms) == pytest.approx(95 / 15)
    assert both.per_s(both.shed) == pytest.approx(0.2)
    assert both.lag_s_most is None and both.faults is None
    assert Summary().mean(0) is None and Summary().per_s(3) is None


def test_percentiles_are_of_the_merged_buckets() -> None:
    slow = Summary(latency={"P1": {index_of(0.2): 1}, "P3": {index_of(5): 1_000}})
    fast = Summary(latency={"P1": {index_of(0.001): 99}})
    both = merge([slow, fast]).latency
    assert percentiles_s(both, (0.5, 0.99, 1.0), ["P0", "P1"]) == [0.001, 0.001, pytest.approx(0.2, rel=0.034)]
    assert percentiles_s({}, (0.5,)) == [None]


@pytest.mark.parametrize(
    ("span", "age", "step_s"),
    [
        (timedelta(minutes=5), timedelta(0), 10),
        (timedelta(hours=1), timedelta(hours=1), 10),
        (timedelta(hours=1), timedelta(days=3), 60),
        (timedelta(hours=6), timedelta(hours=6), 60),
        (timedelta(hours=24), timedelta(hours=24), 600),
        (timedelta(days=14), timedelta(days=14), 3_600),
        (timedelta(days=90), timedelta(days=90), 21_600),
        (timedelta(days=365), timedelta(days=365), 86_400),
        (timedelta(days=3_650), timedelta(days=3_650), 604_800),
    ],
)
def test_the_finest_summaries_that_fit_and_are_kept(span: timedelta, age: timedelta, step_s: int) -> None:
    assert resolution_for(span.total_seconds(), age.total_seconds()).step_s == step_s


@given(st.floats(1, 365 * 86_400), st.floats(0, 2e9), st.integers(10, POINTS_MAX))
def test_never_more_points_than_asked_for(span_s: float, start_s: float, points_max: int) -> None:
    step_s = resolution_for(span_s, 0, points_max).step_s
    if step_s < RESOLUTIONS[-1].step_s:
        assert len(starts(start_s, start_s + span_s, step_s)) <= points_max


def test_stretches_cover_a_span() -> None:
    assert start_of(119.9, 60) == 60
    assert list(starts(119.9, 240.0, 60)) == [60, 120, 180]
    assert list(starts(120.0, 240.5, 60)) == [120, 180, 240]


def test_every_resolution_divides_the_next() -> None:
    steps = [resolution.step_s for resolution in RESOLUTIONS]
    assert all(coarser % finer == 0 for finer, coarser in zip(steps, steps[1:], strict=False))
    assert all(one.kept <= other.kept for one, other in zip(RESOLUTIONS, RESOLUTIONS[1:], strict=False))
