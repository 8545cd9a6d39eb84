"""How many workers: which formula asks for most, steps, bands, and what speaks against going down."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime.policy.forecast import NOTHING
from realtime.policy.scaling import Limits, Load, Orders, Past, Pin, ScalingDecision, desired_workers

LIMITS = Limits(connections=1_000, deliveries_per_s=1_000, joins_per_s=100, rss_bytes=1_000, least=1, most=40)
AUTO = Orders(mode="auto")
CALM = Past(needs=((0.0, 1),), since_s=0.0, hot_looks=2)
LATER = 100_000.0
LIVE = replace(NOTHING, live=20, day=True)


def decide(
    load: Load, calendar: object = NOTHING, orders: Orders = AUTO, past: Past = CALM, now_s: float = LATER
) -> ScalingDecision:
    return desired_workers(load, calendar, LIMITS, orders, past, now_s)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "calendar", "formula", "needed"),
    [
        (Load(1, connections=2_100), NOTHING, "connections", 3),
        (Load(1, connections=2_101), NOTHING, "connections", 4),
        (Load(1, connections=1, deliveries_per_s=1_800), NOTHING, "deliveries", 3),
        (Load(1, connections=1, busy=1.8), NOTHING, "cpu", 3),
        (Load(1, connections=1, joins_per_s=150), NOTHING, "joins", 3),
        (Load(1, connections=1, rss_bytes=2_100), NOTHING, "memory", 3),
        (Load(1, connections=1), replace(NOTHING, peak=2_100.0, soon=2_100.0), "calendar", 3),
        (Load(2, connections=1, lag_s=0.030), NOTHING, "hot", 3),
        (Load(4, connections=1, p99_s=10.0), NOTHING, "hot", 6),
        (Load(1, connections=0), NOTHING, "floor", 1),
        (Load(1, connections=0), replace(NOTHING, busy=True), "floor", 2),
        (Load(1, connections=99_000), NOTHING, "limit", 40),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_formula_that_asks_for_most_wins(load: Load, calendar: object, formula: str, needed: int) -> None:
    decision = decide(load, calendar)
    assert (decision.formula, decision.needed) == (formula, needed)


def test_one_is_spare_while_a_wedding_is_live() -> None:
    assert decide(Load(1, connections=600), LIVE).needed == 2


@pytest.mark.parametrize(
    ("load", "past", "hot"),
    [
        (Load(4, connections=100, lag_s=0.05, unevenness=1.3), CALM, True),
        (Load(4, connections=100, lag_s=0.05, moving=True), CALM, True),
        (Load(4, connections=100, lag_s=0.05), replace(CALM, up_s=LATER - 20), False),
        (Load(4, connections=100, lag_s=0.05, coming=2), CALM, False),
    ],
    ids=["uneven", "people are moved", "just changed", "ordered and not there yet"],
)
def test_heat_does_not_run_away(load: Load, past: Past, hot: bool) -> None:
    decision = decide(load, past=past)
    assert "hot" not in decision.needs
    assert decision.rebalance is hot
    assert decision.want <= 4


@pytest.mark.parametrize(("have", "needed", "want"), [(1, 9, 5), (2, 9, 6), (5, 14, 10), (1, 3, 3)])
def test_steps_up_are_bounded(have: int, needed: int, want: int) -> None:
    decision = decide(Load(have, connections=700 * needed))
    assert (decision.needed, decision.want, decision.act) == (needed, want, True)


def test_the_next_step_up_waits_15_s() -> None:
    load = Load(5, connections=6_300)
    assert decide(load, past=replace(CALM, up_s=LATER - 14)).want == 5
    assert decide(load, past=replace(CALM, up_s=LATER - 15)).want == 9


@pytest.mark.parametrize(
    ("have", "needed", "want"), [(10, 8, 10), (10, 7, 9), (5, 4, 5), (5, 3, 4), (2, 1, 1)], ids=lambda n: str(n)
)
def test_down_goes_one_at_a_time_below_a_dead_band(have: int, needed: int, want: int) -> None:
    assert decide(Load(have, connections=700 * needed)).want == want


LESS = Load(6, connections=700)


@pytest.mark.parametrize(
    ("load", "calendar", "orders", "past", "why"),
    [
        (replace(LESS, missing=("w3",)), NOTHING, AUTO, CALM, "w3"),
        (replace(LESS, connections=None), NOTHING, AUTO, CALM, "missing"),
        (LESS, NOTHING, replace(AUTO, firing="P1 late"), CALM, "P1 late fires"),
        (LESS, replace(LIVE, held=1), AUTO, CALM, "ceremonies"),
        (replace(LESS, moving=True), NOTHING, AUTO, CALM, "moved"),
        (LESS, NOTHING, AUTO, replace(CALM, since_s=LATER - 200), "watched"),
        (LESS, NOTHING, AUTO, replace(CALM, down_s=LATER - 50), "just left"),
        (LESS, LIVE, AUTO, replace(CALM, up_s=LATER - 3_000), "within the hour"),
        (LESS, NOTHING, AUTO, Past(needs=((LATER - 200, 6),), since_s=0.0), "6 did"),
        (LESS, LIVE, AUTO, Past(needs=((LATER - 1_700, 6),), since_s=0.0), "6 did"),
        (LESS, replace(LIVE, soon=5_600.0), AUTO, CALM, "next hour"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_nobody_is_taken_away(load: Load, calendar: object, orders: Orders, past: Past, why: str) -> None:
    assert decide(LESS).want == 5
    decision = decide(load, calendar, orders, past)
    assert decision.want == 6
    assert why in decision.reason


def test_more_workers_than_there_may_be_go_whatever_the_band_says() -> None:
    crowded = Load(LIMITS.most + 1, connections=10**6)
    assert decide(crowded).want == LIMITS.most
    assert decide(replace(crowded, workers=LIMITS.most)).want == LIMITS.most


def test_without_weddings_five_minutes_of_calm_are_enough() -> None:
    assert decide(LESS, past=Past(needs=((LATER - 301, 6),), since_s=0.0)).want == 5


def test_one_ceremony_of_many_does_not_hold_the_fleet() -> None:
    assert decide(LESS, replace(LIVE, live=100, held=4)).want == 5
    assert decide(LESS, replace(LIVE, live=100, held=5)).want == 6


@pytest.mark.parametrize("mode", ["off", "advise"])
def test_only_auto_acts(mode: str) -> None:
    decision = decide(Load(1, connections=2_100), orders=Orders(mode=mode))  # type: ignore[arg-type]
    assert (decision.want, decision.act) == (3, False)


def test_a_pin_wins_until_it_runs_out() -> None:
    pin = Pin(7, until_s=LATER + 60, who="Maria Lang", reason="rehearsal")
    decision = decide(Load(1, connections=9_000), orders=Orders("auto", pin))
    assert (decision.want, decision.formula, decision.act) == (7, "pin", True)
    assert "Maria Lang" in decision.reason and "rehearsal" in decision.reason
    assert decide(Load(1, connections=700), orders=Orders("auto", pin), now_s=LATER + 60).formula == "connections"


def test_what_was_not_measured_is_not_counted() -> None:
    assert set(decide(Load(1, connections=700)).needs) == {"connections", "calendar"}


loads = st.builds(
    Load,
    workers=st.integers(1, 40),
    connections=st.none() | st.integers(0, 100_000),
    busy=st.none() | st.floats(0, 40),
    lag_s=st.none() | st.floats(0, 5),
    unevenness=st.floats(1, 3),
)


@given(loads, st.lists(loads, max_size=40))
def test_every_decision_is_within_its_limits(first: Load, rest: list[Load]) -> None:
    past, have, down_s = Past(), first.workers, -math.inf
    for tick, load in enumerate([first, *rest]):
        now_s = 5.0 * tick
        decision, past = desired_workers(replace(load, workers=have), NOTHING, LIMITS, AUTO, past, now_s)
        assert LIMITS.least <= decision.want <= LIMITS.most
        assert decision.reason
        assert have - 1 <= decision.want <= max(have + 4, 2 * have)
        if decision.want < have:
            assert now_s - down_s >= 60
            down_s = now_s
        have = decision.want


def test_a_stall_that_was_seen_once_is_no_heat() -> None:
    decision, past = desired_workers(Load(2, connections=1, lag_s=0.3), NOTHING, LIMITS, AUTO, Past(), LATER)
    assert "hot" not in decision.needs and past.hot_looks == 1
    assert desired_workers(Load(2, connections=1, lag_s=0.001), NOTHING, LIMITS, AUTO, past, LATER)[1].hot_looks == 0


def test_no_worker_goes_whose_weddings_are_in_their_ceremony() -> None:
    busy = Load(4, connections=100, held_last=2)
    assert decide(busy).want == 4 and "2 ceremonies" in decide(busy).reason
    assert decide(busy, orders=replace(AUTO, overridden=True)).want == 3
