"""A Saturday of 270 weddings through the policy: capacity is up before each rise, and it does not go back and forth."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from realtime.policy.forecast import Booking
from realtime.policy.scaling import Limits
from realtime.policy.simulation import simulate
from wedsync.weddings import calendars
from wedsync.weddings.forecasting import from_calendar

CALENDAR = Path(__file__).parents[3] / "wedsync/weddings/demo/calendar/saturday-june.csv"


def saturday(days: int = 0, share: float = 1.0) -> list[Booking]:
    """The calendar, `days` later on the venues' clocks, with a share of the people."""
    return [
        replace(
            booking,
            ceremony=booking.ceremony.astimezone(booking.zone) + timedelta(days=days),
            expected=round(share * booking.expected),
        )
        for booking in from_calendar(calendars.read(CALENDAR.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize(("seed", "turnout"), [(1, 0.7), (2, 1.0), (3, 1.4)])
@pytest.mark.parametrize("days", [0, 147, -91], ids=["june", "clocks go back", "clocks go forward"])
def test_capacity_is_up_before_each_rise(days: int, seed: int, turnout: float) -> None:
    done = simulate(saturday(days), Limits(most=20), seed=seed, turnout=turnout)
    assert done.short_min == 0
    assert done.ups >= 5 and done.downs >= 4
    assert done.reversals_in_an_hour <= 1
    assert done.points[-1].want == 1


def test_a_tenth_of_the_people_on_small_workers() -> None:
    done = simulate(saturday(share=0.1), Limits(connections=150, most=8))
    assert (done.short_min, done.reversals_in_an_hour) == (0, 1)
    assert done.ups >= 5 and done.downs >= 4


def test_too_few_workers_are_noticed() -> None:
    late = [replace(booking, expected=10) for booking in saturday()]
    assert simulate(late, Limits(connections=20, most=200), turnout=40.0).short_min > 0


def test_an_empty_calendar_is_an_answer() -> None:
    assert simulate([], Limits()).points == []
