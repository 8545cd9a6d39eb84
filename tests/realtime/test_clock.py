"""The clock of a rehearsal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from realtime.clock import SystemClock, TurnedClock

START = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


def test_a_day_is_played_faster_from_a_moment_of_its_own() -> None:
    began = SystemClock().now() - timedelta(seconds=60)
    clock = TurnedClock.of(str(TurnedClock(START, began, 20.0)))
    assert timedelta(minutes=20) <= clock.now() - START < timedelta(minutes=40)
    assert abs(clock.monotonic() - SystemClock().monotonic()) < 5


@pytest.mark.parametrize("text", ["x", "2027-06-12T12:00 2027-06-12T12:00 20", "2027-06-12T12:00Z 2027-06-12T12:00Z fast"])
def test_what_is_no_such_clock_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="START BEGAN RATE"):
        TurnedClock.of(text)
