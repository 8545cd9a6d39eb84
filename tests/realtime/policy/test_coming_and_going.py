"""Letting in, sending away, coming back, starting again: the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.policy.admission import Admission
from realtime.policy.draining import rank, tell_per_s
from realtime.policy.restarting import CAP_S, STEADY_S, deaths_in_a_row, restart_delay_s
from realtime.policy.returning import return_ms
from realtime.roles import Role


def test_a_crowd_of_guests_leaves_room_for_planners_and_vendors() -> None:
    door = Admission(100, 0.0)
    guests = sum(door.admit(Role.GUEST, 0.0) == 0 for _ in range(100))
    vendors = sum(door.admit(Role.VENDOR, 0.0) == 0 for _ in range(100))
    planners = sum(door.admit(Role.PLANNER, 0.0) == 0 for _ in range(100))
    assert (guests, vendors, planners) == (35, 10, 5)


def test_those_who_are_sent_away_come_back_one_after_the_other_and_are_let_in() -> None:
    door = Admission(100, 0.0)
    waits = [wait_s for _ in range(200) if (wait_s := door.admit(Role.GUEST, 0.0))]
    assert all(later > sooner for sooner, later in zip(waits, waits[1:], strict=False))
    assert waits[-1] < 2.0
    assert [door.admit(Role.GUEST, at_s) for at_s in waits] == [0.0] * len(waits)


def test_weddings_that_have_their_day_come_before_all_others() -> None:
    door = Admission(100, 0.0)
    door.today = {"rose"}
    other = sum(door.admit(Role.PLANNER, 0.0, "next-week") == 0 for _ in range(100))
    guests = sum(door.admit(Role.GUEST, 0.0, "rose") == 0 for _ in range(100))
    assert (other, guests) == (30, 5), "the planner of another day leaves room for guests of today"
    door.today = None
    assert door.admit(Role.PLANNER, 0.0, "next-week") == 0, "not known: nobody is put behind anybody"


@pytest.mark.parametrize("per_s", [0.5, 2, 10])
def test_whoever_waits_comes_in_at_last(per_s: float) -> None:
    door = Admission(per_s, 0.0)
    door.today = set()
    assert door.admit(Role.GUEST, 60.0, "next-week") == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(list(Role))), max_size=200))
def test_no_more_are_let_in_than_the_rate_allows(knocks: list[tuple[float, Role]]) -> None:
    door, now_s, let_in = Admission(10, 0.0), 0.0, 0
    for pause_s, role in knocks:
        now_s += pause_s
        let_in += door.admit(role, now_s) == 0
    assert let_in <= 10 * now_s + 5


@pytest.mark.parametrize(
    ("role", "connections", "others", "expected"),
    [
        (Role.GUEST, 5_000, 1, 3_000),
        (Role.VENDOR, 5_000, 1, 2_000),
        (Role.PLANNER, 5_000, 1, 500),
        (Role.GUEST, 10_000, 2, 3_000),
        (Role.GUEST, 20, 1, 500),
        (Role.GUEST, 0, 0, 500),
    ],
)
def test_how_long_a_crowd_takes_to_come_back(role: Role, connections: int, others: int, expected: int) -> None:
    assert return_ms(role, connections, others) == expected


def test_planners_are_asked_last_and_everybody_in_half_of_the_time() -> None:
    order = sorted([Role.PLANNER, Role.VENDOR, Role.COUPLE, Role.GUEST, Role.DISPLAY], key=rank)
    assert order[-3:] == [Role.COUPLE, Role.VENDOR, Role.PLANNER]
    assert tell_per_s(10, 60) == 750
    assert tell_per_s(100_000, 15) * 7.5 >= 100_000


def test_the_first_death_costs_no_time_and_a_broken_release_does_no_harm() -> None:
    assert [restart_delay_s(deaths) for deaths in (1, 2, 3, 20)] == [0.0, 0.5, 1.0, CAP_S]
    assert deaths_in_a_row(3, 1.0) == 4
    assert deaths_in_a_row(3, STEADY_S) == 1
