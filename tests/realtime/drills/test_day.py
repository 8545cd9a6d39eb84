"""A day of the calendar, compressed: who is there when, and what is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.drills.day import LEAST, compressed, sayings, stays
from realtime.policy.forecast import Booking

ON = date(2027, 6, 12)


def bookings(count: int) -> list[Booking]:
    noon = datetime(2027, 6, 12, 17, tzinfo=UTC)
    zone = ZoneInfo("America/New_York")
    return [
        Booking(f"w{n}", noon + timedelta(minutes=7 * n), zone, invited=100 + n, vendors=10, planners=1) for n in range(count)
    ]


@given(st.integers(1, 60), st.integers(LEAST, 900))
def test_so_many_people_stand_for_all_weddings(count: int, people: int) -> None:
    day = compressed(ON, bookings(count), people, 60.0, "load")
    sizes = [len(room.roles) for room in day.plan]
    assert len(day.plan) == len(day.bookings) == min(count, people // LEAST)
    assert sum(sizes) <= people and min(sizes) >= LEAST
    assert day.weddings == count and all("planner" in room.roles for room in day.plan)


def test_the_whole_day_is_played_however_few_stand_for_it() -> None:
    few, all_of_them = (compressed(ON, bookings(50), people, 600.0, "load") for people in (12, 3_000))
    assert few.length_s == all_of_them.length_s == pytest.approx((15 * 3_600 + 49 * 420) / 600)
    assert few.clock_s(few.played(few.opens_s + 5_000.0)) == pytest.approx(few.opens_s + 5_000.0)


def test_people_come_and_go_by_the_phases_and_planners_stay() -> None:
    day = compressed(ON, bookings(1), 120, 60.0, "load")
    there: dict[int, list[bool]] = {}
    for stay in stays(day, 1):
        there.setdefault(stay.member, []).append(stay.there)
    roles = day.plan[0].roles
    assert all(states[0] is False and states[-1] is False for states in there.values()), "nobody before it, nobody after it"
    assert [there[m] for m, role in enumerate(roles) if role == "planner"][0] == [False, True, False]
    guests = [there[m].count(True) for m, role in enumerate(roles) if role == "guest"]
    assert max(guests) == 2, "phones are away in the ceremony"


def test_what_is_said_depends_on_the_seed_alone_and_comes_in_order() -> None:
    day = compressed(ON, bookings(3), 60, 60.0, "load")
    said = [list(sayings(day, seed, [[], [], []])) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]
    assert [p.t_s for p in said[0]] == sorted(p.t_s for p in said[0]) and said[0][-1].t_s <= day.length_s


SILENT = Booking("x", datetime(2027, 6, 12, tzinfo=UTC), ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("found", "people", "sentence"),
    [([], 60, "no wedding of 2027-06-12"), ([SILENT], 60, "no wedding"), (bookings(2), 5, "at least 6")],
)
def test_what_cannot_be_rehearsed_is_said(found: list[Booking], people: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compressed(ON, found, people, 60.0, "load")
