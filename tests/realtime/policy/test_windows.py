"""The day of a wedding, in its venue's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from realtime.policy.windows import EventWindow, Override, event_window, held_by

HOUR = 3_600.0


@pytest.mark.parametrize(
    ("local", "zone", "hours"),
    [
        ("2027-06-12T16:00", "America/New_York", 15.0),
        ("2027-11-06T19:30", "America/New_York", 16.0),  # clocks go back during the dance: 02:30 is an hour later
        ("2027-03-13T20:00", "America/Los_Angeles", 14.0),  # clocks go forward: 03:00 comes an hour earlier
        ("2027-03-27T21:00", "Europe/Berlin", 14.0),
        ("2027-03-28T10:00", "Europe/Berlin", 14.0),  # set-up begins at 02:00, which does not exist: 03:00 by the old offset
    ],
)
def test_the_day_is_measured_by_the_clock_in_the_venue(local: str, zone: str, hours: float) -> None:
    ceremony = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))
    window = event_window("ana-tom", ceremony, ZoneInfo(zone))
    assert (window.closes_s - window.opens_s) / HOUR == hours
    closes = datetime.fromtimestamp(window.closes_s, ZoneInfo(zone))
    assert closes.replace(tzinfo=None) == datetime.fromisoformat(local) + timedelta(hours=7)


def test_an_end_at_a_time_that_exists_twice_is_the_later_one() -> None:
    zone = ZoneInfo("America/New_York")
    window = event_window("ana-tom", datetime(2027, 11, 6, 18, 30, tzinfo=zone), zone)
    assert datetime.fromtimestamp(window.closes_s, UTC) == datetime(2027, 11, 7, 6, 30, tzinfo=UTC)  # 01:30 EST, not EDT


@pytest.mark.parametrize(("local", "zone"), [("2027-03-13T19:30", "America/New_York"), ("2027-03-27T19:30", "Europe/Berlin")])
def test_an_end_at_a_time_that_is_left_out_is_as_many_hours_later(local: str, zone: str) -> None:
    ceremony = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))  # seven hours later it would be 02:30
    window = event_window("ana-tom", ceremony, ZoneInfo(zone))
    assert (window.closes_s - window.ceremony_s) / HOUR == 7.0


def test_saturday_on_the_servers_clock_means_nothing() -> None:
    auckland = event_window("k", datetime(2027, 6, 13, 9, 0, tzinfo=ZoneInfo("Pacific/Auckland")), ZoneInfo("Pacific/Auckland"))
    assert auckland.open(datetime(2027, 6, 12, 21, 0, tzinfo=UTC).timestamp())


WINDOW = EventWindow("ana-tom", ceremony_s=10 * HOUR, opens_s=2 * HOUR, closes_s=17 * HOUR)


@pytest.mark.parametrize(
    ("action", "at_h", "held"),
    [
        ("deploy", 1.9, False),
        ("deploy", 2.0, True),
        ("deploy", 16.9, True),
        ("deploy", 17.0, False),
        ("move", 9.9, False),
        ("move", 9.95, True),
        ("move", 10.5, True),
        ("move", 10.6, False),
        ("scale-in", 10.0, True),
        ("scale-in", 3.0, False),
    ],
)
def test_what_has_to_wait(action: str, at_h: float, held: bool) -> None:
    assert bool(held_by(action, [WINDOW], at_h * HOUR)) is held  # type: ignore[arg-type]


def test_a_person_may_override_for_a_while() -> None:
    override = Override("Maria Lang", "security fix", until_s=6 * HOUR)
    assert held_by("deploy", [WINDOW], 5 * HOUR, [override]) == []
    assert held_by("deploy", [WINDOW], 6 * HOUR, [override]) == [WINDOW]
