"""Tuning of one process by its load."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.performance_optimizer import (
    BUSY_DOWN,
    BUSY_UP,
    RING_MAX,
    WINDOW_FIRST_S,
    WINDOW_MAX_S,
    Reading,
    RealtimePerformanceOptimizer,
)


def run(*busy: float | None) -> list[float]:
    optimizer = RealtimePerformanceOptimizer()
    return [optimizer.step(None if b is None else Reading(b), n).window_s for n, b in enumerate(busy)]


def test_idle_nothing_waits() -> None:
    assert run(0.0, 0.3, 0.6) == [0.0, 0.0, 0.0]


def test_under_load_the_window_grows_to_its_bound_and_not_beyond() -> None:
    windows = run(*[0.95] * 12)
    assert windows[0] == WINDOW_FIRST_S and windows == sorted(windows) and windows[-1] == WINDOW_MAX_S


def test_between_the_bounds_it_stays_and_below_it_goes_to_nothing() -> None:
    windows = run(0.95, 0.95, 0.9, 0.9, 0.2, 0.2, 0.2)
    assert windows[1] == windows[2] == windows[3] and windows[-1] == 0.0


def test_what_was_not_measured_changes_nothing() -> None:
    assert run(0.95, None, None) == [WINDOW_FIRST_S] * 3


@given(st.lists(st.floats(0, 2), max_size=300))
def test_the_window_is_bounded_and_every_change_has_a_reason(busy: list[float]) -> None:
    optimizer = RealtimePerformanceOptimizer()
    for n, b in enumerate(busy):
        before = optimizer.tuning
        after = optimizer.step(Reading(b), n)
        assert after.window_s == 0 or WINDOW_FIRST_S <= after.window_s <= WINDOW_MAX_S
        if after != before:
            assert after.reason and optimizer.changes[-1] == (n, after)
            assert (b > BUSY_UP) == (after.window_s > before.window_s) and (b < BUSY_DOWN) == (after.window_s < before.window_s)
    assert len(optimizer.changes) <= RING_MAX
