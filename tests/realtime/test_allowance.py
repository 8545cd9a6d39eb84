"""What a member may still say: one allowance for all its connections, and nothing kept of those who have all of theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.allowance import MEMBERS_MAX, PAID_MAX, Allowances
from realtime.config import RealtimeConfig
from realtime.errors import RateLimited
from realtime.messages import Sender
from tests.fakes import ManualClock

ROOM = "rose-garden"
GUEST = Sender("m1", "guest", "Maya")
VENDOR = Sender("m2", "vendor", "Ivy")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def allowances(clock: ManualClock) -> Allowances:
    return Allowances(RealtimeConfig(load_testing=True), clock)


def said(allowances: Allowances, member: Sender, times: int, room: str = ROOM) -> int:
    """How many of so many messages may pass."""
    passed = 0
    for _ in range(times):
        try:
            allowances.pay(room, member)
            passed += 1
        except RateLimited as error:
            assert error.retry_after_ms > 0
    return passed


def cried(allowances: Allowances, *ids: str, ends: bool = False) -> list[bool]:
    """Which of these emergencies may pass."""
    passed = []
    for id in ids:
        try:
            allowances.pay_emergency(ROOM, VENDOR, id, ends=ends)
            passed.append(True)
        except RateLimited:
            passed.append(False)
    return passed


@pytest.mark.parametrize(("role", "burst"), [("guest", 10), ("display", 10), ("vendor", 20), ("couple", 20), ("planner", 60)])
def test_each_role_has_its_burst_once_whoever_asks(allowances: Allowances, role: str, burst: int) -> None:
    assert said(allowances, Sender("m1", role), 100) == burst
    assert said(allowances, Sender("m1", role, "by another name"), 100) == 0
    assert said(allowances, Sender("m3", role), 1) == said(allowances, Sender("m1", role), 1, "another-wedding") == 1


def test_load_tools_have_no_limit(allowances: Allowances) -> None:
    assert said(allowances, Sender("t1", "load"), 200) == 200
    assert len(allowances) == 0


def test_three_emergencies_in_five_minutes_beside_all_else(allowances: Allowances, clock: ManualClock) -> None:
    assert said(allowances, VENDOR, 30) == 20
    assert cried(allowances, "a", "b", "c", "d") == [True, True, True, False]
    clock.advance(101)
    assert cried(allowances, "d", "e") == [True, False]


def test_what_ends_an_emergency_takes_nothing_of_them_and_is_limited_as_everything_is(allowances: Allowances) -> None:
    assert cried(allowances, "a", "b") == [True, True]
    assert cried(allowances, "c", "d", "d", ends=True) == [True] * 3
    assert cried(allowances, "e", "f") == [True, False]
    assert sum(cried(allowances, *map(str, range(50)), ends=True)) == 20 - 3


def test_one_that_is_said_again_takes_nothing_of_the_emergencies(allowances: Allowances, clock: ManualClock) -> None:
    assert cried(allowances, *["a"] * 10, "b", "c", "d") == [True] * 12 + [False]
    assert sum(cried(allowances, *["a"] * 100)) == 11, "but repeats are limited as everything is"
    clock.advance(100 * PAID_MAX)
    for n in range(PAID_MAX):
        assert cried(allowances, f"later {n}") == [True]
        clock.advance(100)
    assert cried(allowances, "x", "y", "z", "a") == [True] * 3 + [False], "the first is forgotten"


def test_what_is_full_again_is_not_kept(allowances: Allowances, clock: ManualClock) -> None:
    for n in range(100):
        said(allowances, Sender(f"g{n}", "guest"), 1)
    cried(allowances, "a")
    assert len(allowances) == 101
    clock.advance(60)
    for n in range(100):
        said(allowances, Sender("g0" if n % 2 else f"new{n}", "guest"), 1)
    assert len(allowances) <= 60, "those of now, and who was in need"
    assert cried(allowances, "a", "b", "c", "d") == [True, True, True, False]


def test_there_is_an_end_to_how_many_are_kept(allowances: Allowances) -> None:
    for n in range(MEMBERS_MAX + 100):
        allowances.pay(ROOM, Sender(f"g{n}", "guest"))
    assert len(allowances) == MEMBERS_MAX


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 20)), max_size=80))
def test_forgetting_gives_nobody_more(steps: list[tuple[int, float]]) -> None:
    clock = ManualClock()
    allowances = Allowances(RealtimeConfig(), clock)
    passed: dict[int, list[float]] = {}
    for who, wait_s in steps:
        clock.advance(wait_s if wait_s > 15 else wait_s / 100)
        if said(allowances, Sender(f"m{who}", "guest"), 1):
            passed.setdefault(who, []).append(clock.monotonic())
    for at in passed.values():
        for n in range(len(at) - 11):
            assert at[n + 11] - at[n] > 0.99, "never more than ten and one a second"
