"""Histograms: what is counted within an objective is exact, and merging loses nothing."""

from __future__ import annotations

import itertools
from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.signals import OBJECTIVES, WEDDING_LIMIT_S
from realtime.histogram import (
    EDGES_S,
    EXPORTED_S,
    LAST,
    Buckets,
    Histogram,
    added,
    beyond,
    edge_s,
    index_of,
    merged,
    quantile_s,
    quantiles_s,
    within,
)

SECONDS = st.floats(min_value=0, max_value=10_000, allow_nan=False)
PARTS = st.lists(st.dictionaries(st.integers(0, LAST + 1), st.integers(1, 10_000), max_size=20), max_size=6)


def counted(seconds: list[float]) -> Buckets:
    histogram = Histogram()
    for value in seconds:
        histogram.record(value)
    return histogram.counts


def test_edges_rise_and_no_bucket_is_wide() -> None:
    ratios = [above / below for below, above in itertools.pairwise(EDGES_S)]
    assert min(ratios) > 1 and max(ratios) < 1.034
    assert index_of(0) == 0 and edge_s(index_of(100_000)) == EDGES_S[-1]


@pytest.mark.parametrize("limit_s", EXPORTED_S)
def test_an_exported_edge_is_exact(limit_s: float) -> None:
    assert edge_s(index_of(limit_s)) == limit_s
    assert index_of(nextafter(limit_s, 1e9)) == index_of(limit_s) + 1


def test_every_objective_is_an_exported_edge() -> None:
    assert {limit_s for *_, limit_s in OBJECTIVES} | {WEDDING_LIMIT_S} <= set(EXPORTED_S)


@given(st.lists(SECONDS, max_size=50))
def test_what_is_within_an_exported_limit_is_counted_one_by_one(seconds: list[float]) -> None:
    buckets = counted(seconds)
    assert within(buckets, EXPORTED_S) == [sum(value <= limit_s for value in seconds) for limit_s in EXPORTED_S]
    assert [beyond(buckets, limit_s) for limit_s in EXPORTED_S] == [
        sum(value > limit_s for value in seconds) for limit_s in EXPORTED_S
    ]


@given(st.lists(st.floats(min_value=2e-6, max_value=3_600), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_the_edge_of_the_right_bucket(seconds: list[float], share: float) -> None:
    exact = sorted(seconds)[max(0, -(-len(seconds) * int(share * 100) // 100) - 1)]
    found = quantile_s(counted(seconds), share)
    assert found is not None and exact <= found <= exact * 1.034


@given(PARTS)
def test_percentiles_of_parts_taken_together_are_those_of_all_merged(parts: list[Buckets]) -> None:
    shares = (0.01, 0.5, 0.95, 0.99, 1.0)
    backwards = [dict(reversed(part.items())) for part in parts]
    expected = [quantile_s(merged(parts), share) for share in shares]
    assert quantiles_s(parts, shares) == expected == quantiles_s(backwards, shares)


@given(PARTS)
def test_merging_in_portions_is_merging_at_once(parts: list[Buckets]) -> None:
    assert merged([merged(parts[:3]), merged(parts[3:])]) == merged(parts)
    assert added(merged(parts), merged(parts[:3])) == merged(parts[3:])
