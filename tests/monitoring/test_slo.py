"""Burn rates of a wedding day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.slo import BUCKET_S, DAY, EVENTS_MIN, FAST, SLOW, Budget, Objective, Pair

STRICT = Objective("P0 and P1", 0.999)


def budget(*seconds: tuple[int, int], start_s: float = 0.0) -> tuple[Budget, float]:
    """One (bad, total) a second; gives the time of the last."""
    made = Budget(STRICT)
    now_s = start_s
    for now_s, (bad, total) in enumerate(seconds, start=int(start_s)):
        made.add(now_s, bad=bad, total=total)
    return made, now_s


def test_the_rate_is_the_bad_share_over_the_allowed_share() -> None:
    made, now_s = budget(*[(1, 100)] * 600)
    assert made.burning(FAST, now_s) == pytest.approx(10.0)
    assert made.burning(DAY, now_s) == pytest.approx(10.0)


def test_what_is_over_does_not_burn_though_the_long_window_remembers() -> None:
    made, now_s = budget(*[(50, 100)] * 60, *[(0, 100)] * 60)
    bad, total = made.counts(FAST.long_s, now_s)
    assert STRICT.burn(bad, total) > 9.6
    assert made.burning(FAST, now_s) == 0.0


def test_a_short_spike_alone_is_not_enough() -> None:
    made, now_s = budget(*[(0, 1_000)] * 290, *[(2, 100)] * 5)
    assert made.burning(FAST, now_s) < 1  # type: ignore[operator]


def test_few_events_are_no_reading_and_then_the_canaries_speak() -> None:
    made, now_s = budget((1, EVENTS_MIN - 1))
    canary = Budget(STRICT)
    assert made.burning(FAST, now_s) is None
    assert made.burning(FAST, now_s, canary) is None
    canary.add(now_s, bad=200, total=200)
    assert made.burning(FAST, now_s, canary) == pytest.approx(1_000)


def test_a_shorter_day_has_shorter_windows_and_burns_the_same_share_of_its_budget() -> None:
    seconds = [(1, 100)] * 600 + [(0, 100)] * 4
    long, now_s = budget(*seconds)
    short = Budget(STRICT, scale=0.1)
    for at_s, (bad, total) in enumerate(seconds):
        short.add(at_s, bad=bad, total=total)
    assert short.counts(FAST.long_s, now_s)[1] == pytest.approx(0.1 * long.counts(FAST.long_s, now_s)[1], rel=0.1)
    assert long.burning(FAST, now_s) > 8  # type: ignore[operator]
    assert short.burning(FAST, now_s) == 0.0  # of its short window, three seconds, nothing is late


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(50, 100)), min_size=1, max_size=400),
    st.sampled_from([FAST, SLOW, Pair("x", 60, 5)]),
)
def test_a_window_holds_its_seconds_to_the_bucket(seconds: list[tuple[int, int]], pair: Pair) -> None:
    made, now_s = budget(*seconds)
    bad, total = made.counts(pair.long_s, now_s)
    least = seconds[-int(pair.long_s - BUCKET_S) :]
    most = seconds[-int(pair.long_s + BUCKET_S) :]
    assert sum(b for b, _ in least) <= bad <= sum(b for b, _ in most)
    assert sum(t for _, t in least) <= total <= sum(t for _, t in most)


def test_two_days_take_no_more_memory_than_two_hours() -> None:
    made = Budget(STRICT)
    for now_s in range(0, 172_800, 5):
        made.add(now_s, bad=0, total=1)
    assert len(made._buckets) == DAY.long_s / BUCKET_S + 1
