"""Tuning of one process by its load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.performance_optimizer import (
    BUSY_DOWN,
    BUSY_UP,
    LAG_DOWN_S,
    LAG_UP_S,
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


def test_with_a_part_of_a_core_what_is_late_is_joined_too() -> None:
    """A busy neighbour or a container's limit: the process never comes to use a whole core."""
    optimizer = RealtimePerformanceOptimizer()
    late = Reading(busy=BUSY_DOWN / 2, lag_s=LAG_DOWN_S + 0.01)
    windows = [optimizer.step(late, n).window_s for n in range(12)]
    assert windows[0] == WINDOW_FIRST_S and windows == sorted(windows) and windows[-1] == WINDOW_MAX_S
    assert optimizer.step(Reading(busy=BUSY_DOWN / 2), 12).window_s < WINDOW_MAX_S


def test_a_late_loop_that_is_not_busy_waits_for_nothing() -> None:
    """A slow disk or a stopped machine is not helped by joining."""
    assert RealtimePerformanceOptimizer().step(Reading(busy=0.1, lag_s=1.0), 0.0).window_s == 0.0


def test_what_was_not_measured_changes_nothing() -> None:
    assert run(0.95, None, None) == [WINDOW_FIRST_S] * 3


def test_a_busy_process_still_compresses_a_kilobyte() -> None:
    optimizer = RealtimePerformanceOptimizer()
    assert 256 < optimizer.step(Reading(BUSY_UP + 0.01), 0.0).compress_over_bytes < 1_000


@given(st.lists(st.floats(0, 2), max_size=300))
def test_the_window_is_bounded_and_every_change_has_a_reason(busy: list[float]) -> None:
    optimizer = RealtimePerformanceOptimizer()
    for n, b in enumerate(busy):
        before = optimizer.tuning
        after = optimizer.step(Reading(b), n)
        assert after.window_s == 0 or WINDOW_FIRST_S <= after.window_s <= WINDOW_MAX_S
        if after != before:
            assert after.reason and optimizer.changes[-1] == (n, after)
            assert after.compress_over_bytes == 256 * (2 if after.window_s else 1)
            assert (b > BUSY_UP) == (after.window_s > before.window_s) and (b < BUSY_DOWN) == (after.window_s < before.window_s)
    assert len(optimizer.changes) <= RING_MAX


BUSY_LATE, CALM = Reading(0.99, LAG_UP_S * 2), Reading(0.3, LAG_DOWN_S / 2)


def levels(*readings: Reading) -> list[int]:
    """The shed level after each reading, ten a second."""
    optimizer = RealtimePerformanceOptimizer()
    return [optimizer.step(reading, n / 10).shed_level for n, reading in enumerate(readings)]


def test_shedding_starts_after_a_moment_and_goes_up_step_by_step() -> None:
    assert levels(*[BUSY_LATE] * 12) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_one_late_turn_is_no_overload_and_neither_is_a_late_loop_that_is_not_busy() -> None:
    assert set(levels(BUSY_LATE, CALM, BUSY_LATE, BUSY_LATE, CALM)) == {0}
    assert set(levels(*[Reading(0.2, 5.0)] * 40)) == {0}


def test_what_was_shed_comes_back_after_calm_only() -> None:
    found = levels(*[BUSY_LATE] * 8, *[CALM] * 70)
    assert max(found) == 2 and found[-1] == 0
    assert found[8:38] == [2] * 30, "three seconds of calm before the first step down"


def test_outboxes_without_measure_are_an_overload_too() -> None:
    optimizer = RealtimePerformanceOptimizer(outbox_max_bytes=1_000)
    for n in range(5):
        tuning = optimizer.step(Reading(0.1, 0.0, 2_000), n / 10)
    assert tuning.shed_level == 1 and "MiB wait" in tuning.reason


def test_a_journal_that_cannot_keep_up_is_an_overload_too() -> None:
    optimizer = RealtimePerformanceOptimizer()
    for n in range(12):
        tuning = optimizer.step(Reading(0.1, backlog_s=0.8), n / 10)
    assert tuning.shed_level == 3 and "0.8 s behind with the journal" in tuning.reason


@pytest.mark.parametrize(("backlog_s", "expected"), [(0.4, [0, 0, 0, 1, 1, 1, 2]), (0.6, [0, 0, 0, 3, 3, 3, 3])])
def test_far_behind_with_the_journal_the_last_step_is_the_next(backlog_s: float, expected: list[int]) -> None:
    assert levels(*[Reading(0.1, backlog_s=backlog_s)] * 7) == expected


def test_an_emergency_makes_the_ephemeral_wait_for_a_second() -> None:
    optimizer = RealtimePerformanceOptimizer()
    found = [optimizer.step(Reading(0.1, emergency=n == 2), n / 10).emergency for n in range(15)]
    assert found == [False] * 2 + [True] * 10 + [False] * 3
    assert [tuning.reason for _, tuning in optimizer.changes] == ["an emergency: what is ephemeral waits", "no emergency"]
