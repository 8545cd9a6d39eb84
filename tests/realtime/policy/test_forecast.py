"""How many people the calendar promises, by role, phase and venue time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.policy.forecast import PHASES, Booking, Correction, Forecast

NEW_YORK = ZoneInfo("America/New_York")
T0 = datetime(2027, 6, 12, 16, 0, tzinfo=NEW_YORK)
MEAN = Booking("ana-tom", T0, NEW_YORK, invited=115, vendors=14, planners=3)


def at(hours: float) -> float:
    return T0.timestamp() + 3_600 * hours


@pytest.mark.parametrize(
    ("hours", "phase", "guests", "vendors"),
    [
        (-8.1, "", 0, 0),
        (-8.0, "setup", 1.15, 9.1),
        (-1.0, "arrival", 20.7, 9.1),
        (0.0, "ceremony", 9.2, 7.0),
        (0.5, "cocktail", 27.6, 7.7),
        (1.5, "dinner", 23.0, 7.0),
        (5.0, "exit", 5.75, 4.9),
        (7.0, "", 0, 0),
    ],
)
def test_the_table_of_roles_and_phases(hours: float, phase: str, guests: float, vendors: float) -> None:
    assert MEAN.phase(at(hours)) == phase
    connected = MEAN.connected(at(hours))
    assert (connected.get("guest", 0), connected.get("vendor", 0)) == pytest.approx((guests, vendors))


def test_a_mean_wedding_has_about_46_people_at_its_peak() -> None:
    assert sum(MEAN.connected(at(1)).values()) == pytest.approx(46, rel=0.1)


def test_what_the_calendar_says_of_the_peak_is_the_peak() -> None:
    booking = Booking("k", T0, NEW_YORK, invited=231, vendors=11, expected=82)
    assert max(sum(booking.connected(at(h / 4)).values()) for h in range(-40, 40)) == pytest.approx(82)
    only = Booking("k", T0, NEW_YORK, expected=82)
    assert max(sum(only.connected(at(h / 4)).values()) for h in range(-40, 40)) == pytest.approx(82)


def test_a_wedding_that_says_nothing_is_named_not_guessed() -> None:
    forecast = Forecast([Booking("silent", T0, NEW_YORK), MEAN])
    assert forecast.unknown == ["silent"]
    assert forecast.expected(at(1)) == pytest.approx(sum(MEAN.connected(at(1)).values()))


def test_phases_follow_the_venues_clock_on_the_night_the_clocks_change() -> None:
    late = Booking("k", datetime(2027, 11, 6, 19, 0, tzinfo=NEW_YORK), NEW_YORK, expected=80)
    assert late.phase(datetime(2027, 11, 7, 6, 45, tzinfo=UTC).timestamp()) == "exit"  # 01:45, the second time
    assert (late.begins_s[-1] - late.begins_s[0]) / 3_600 == 16


@given(st.lists(st.tuples(st.integers(0, 47), st.integers(1, 400)), max_size=12), st.integers(-60, 200))
def test_the_sum_is_that_of_all_weddings(drawn: list[tuple[int, int]], quarter: int) -> None:
    bookings = [Booking(f"k{i}", T0 + timedelta(minutes=30 * half), NEW_YORK, expected=n) for i, (half, n) in enumerate(drawn)]
    now_s = T0.timestamp() + 900 * quarter
    assert Forecast(bookings).expected(now_s) == pytest.approx(
        sum(sum(b.connected(now_s).values()) for b in bookings), abs=1e-6
    )


def test_one_wedding_is_less_certain_than_many() -> None:
    one = Forecast([MEAN]).need(at(1)).peak / MEAN_PEAK
    many = Forecast([Booking(f"k{i}", T0, NEW_YORK, invited=115, vendors=14, planners=3) for i in range(100)]).need(at(1))
    assert one == pytest.approx(2.0)  # 1 + 2 * 0.5 / sqrt(1)
    assert many.peak / (100 * MEAN_PEAK) == pytest.approx(1.1)


MEAN_PEAK = sum(MEAN.connected(at(1)).values())


def test_it_looks_15_minutes_ahead_and_an_hour_for_going_down() -> None:
    forecast = Forecast([MEAN])
    assert forecast.need(at(0.2)).peak < forecast.need(at(0.26)).peak == pytest.approx(2 * MEAN_PEAK)
    assert forecast.need(at(-0.4)).soon < forecast.need(at(-0.5)).soon or forecast.need(at(-0.4)).soon == pytest.approx(
        2 * MEAN_PEAK
    )


def test_what_is_near_is_said() -> None:
    forecast = Forecast([MEAN])
    held = {h: forecast.need(at(h)).held for h in (-0.2, -0.15, 0.0, 0.5, 0.6)}
    assert held == {-0.2: 0, -0.15: 1, 0.0: 1, 0.5: 1, 0.6: 0}
    busy = {h: forecast.need(at(h)).busy for h in (-2.1, -2.0, 5.9, 6.0)}
    assert busy == {-2.1: False, -2.0: True, 5.9: True, 6.0: False}
    assert [forecast.need(at(h)).day for h in (-8.1, -8.0, 6.9, 7.0)] == [False, True, True, False]


def test_it_learns_how_many_really_come() -> None:
    seen = Correction().step(100, 100, 0.0)
    for minute in range(1, 61):
        seen = seen.step(150, 100, 60.0 * minute)
    assert seen.rho == pytest.approx(1.5, abs=0.02)
    after_tau = Correction(1.0, 0.0).step(200, 100, 900.0)
    assert after_tau.rho == pytest.approx(1 + (1 - 2.718281828**-1))


def test_it_learns_nothing_from_nothing() -> None:
    before = Correction(1.2, 0.0)
    assert before.step(None, 100.0, 900.0) == before


def test_a_handful_says_nothing_and_what_was_learned_fades() -> None:
    assert Correction(1.0, 0.0).step(50.0, 10.0, 900.0).rho == 1.0
    assert Correction(1.2, 0.0).step(50.0, 10.0, 900.0).rho == pytest.approx(1 + 0.2 * 2.718281828**-1)


def test_the_first_look_after_a_quiet_night_weighs_no_more_than_any_other() -> None:
    seen = Correction(1.3, 0.0)
    for look in range(1, 9_001):  # twelve hours, a look every five seconds
        seen = seen.step(0.0, 0.0, 5.0 * look)
    assert seen.step(0.0, 9_000.0, 45_005.0).rho == pytest.approx(1.0, abs=0.01)  # they are still on their way


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=30))
def test_the_correction_stays_within_its_limits(seen: list[tuple[float, float]]) -> None:
    correction = Correction()
    for second, (actual, forecast) in enumerate(seen):
        correction = correction.step(actual, forecast, 60.0 * second)
    assert 0.5 <= correction.rho <= 2.0


def test_phases_are_named() -> None:
    assert len(PHASES) == len(MEAN.by_phase) == len(MEAN.begins_s) - 1
