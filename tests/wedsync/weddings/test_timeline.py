"""What moves when something is late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wedsync.weddings.timeline import Impossible, Item, Plan, reorder, shift

NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


def at(n: int, minute: int, minutes: int, kind: str = "flex", *depends_on: int, over: bool = False) -> Item:
    return Item(n, NOON + timedelta(minutes=minute), minutes, kind, depends_on, over)


def minutes_of(items: dict[int, Item]) -> dict[int, tuple[int, int]]:
    return {n: (round((item.start - NOON).total_seconds() / 60), item.minutes) for n, item in items.items()}


CASES = [
    ("followers move with it", [at(1, 0, 30), at(2, 30, 10, "flex", 1), at(3, 40, 10, "cue", 2)], 1, 15,
     {1: (15, 30), 2: (45, 10), 3: (55, 10)}),
    ("gaps are kept", [at(1, 0, 30), at(2, 50, 10, "flex", 1)], 1, 15, {1: (15, 30), 2: (65, 10)}),
    ("anchors stay", [at(1, 0, 30), at(2, 30, 10, "anchor", 1)], 1, 15, {1: (15, 30)}),
    ("a named anchor moves", [at(1, 0, 30, "anchor"), at(2, 30, 10, "flex", 1)], 1, 15, {1: (15, 30), 2: (45, 10)}),
    ("a buffer absorbs", [at(1, 0, 30), at(2, 30, 20, "buffer"), at(3, 50, 10, "cue", 1)], 1, 15,
     {1: (15, 30), 2: (45, 5)}),
    ("a buffer absorbs what it has", [at(1, 0, 30), at(2, 30, 10, "buffer"), at(3, 40, 10, "cue", 1)], 1, 15,
     {1: (15, 30), 2: (40, 0), 3: (45, 10)}),
    ("a moved item runs into a buffer", [at(1, 0, 45), at(2, 45, 15, "buffer"), at(3, 60, 30, "anchor")], 1, 10,
     {1: (10, 45), 2: (55, 5)}),
    ("the latest of several counts", [at(1, 0, 30), at(2, 0, 40), at(3, 40, 10, "flex", 1, 2)], 1, 15,
     {1: (15, 30), 3: (55, 10)}),
    ("what is over stays", [at(1, 0, 30), at(2, 30, 10, "flex", 1, over=True)], 1, 15, {1: (15, 30)}),
    ("earlier moves followers too", [at(1, 30, 30), at(2, 60, 10, "flex", 1)], 1, -15, {1: (15, 30), 2: (45, 10)}),
    ("nothing starts before what it waits for", [at(1, 30, 30), at(2, 30, 60), at(3, 90, 10, "flex", 1, 2)], 1, -15,
     {1: (15, 30)}),
    ("the named item neither", [at(1, 0, 30), at(2, 40, 60, "flex", 1)], 2, -15, {2: (30, 60)}),
    ("what is over holds nobody up", [at(1, 0, 30, over=True), at(2, 40, 60, "flex", 1)], 2, -15, {2: (25, 60)}),
    ("delay passes through a buffer that is waited for",
     [at(1, 0, 30), at(2, 30, 10, "buffer", 1), at(3, 40, 10, "flex", 2)], 1, 25, {1: (25, 30), 2: (55, 0), 3: (55, 10)}),
    ("or is used up there", [at(1, 0, 30), at(2, 30, 10, "buffer", 1), at(3, 40, 10, "flex", 2)], 1, 10,
     {1: (10, 30), 2: (40, 0)}),
    ("a buffer that is waited for comes earlier, no longer", [at(1, 20, 30), at(2, 50, 10, "buffer", 1),
     at(3, 60, 10, "flex", 2)], 1, -5, {1: (15, 30), 2: (45, 10), 3: (55, 10)}),
    ("the first buffer is eaten first", [at(1, 0, 30), at(3, 40, 10, "buffer"), at(2, 50, 10, "buffer"),
     at(4, 60, 10, "flex", 1)], 1, 15, {1: (15, 30), 3: (50, 0), 2: (55, 5)}),
    ("speeches stay in the dinner", [at(1, 0, 90), at(2, 50, 25, "flex", 1)], 1, -10, {1: (-10, 90), 2: (40, 25)}),
    ("and later too", [at(1, 0, 90), at(2, 50, 25, "flex", 1)], 1, 10, {1: (10, 90), 2: (60, 25)}),
    ("a named buffer moves whole", [at(1, 0, 20, "buffer"), at(2, 20, 10, "flex", 1)], 1, 10, {1: (10, 20), 2: (30, 10)}),
    ("a circle ends", [at(1, 0, 10, "flex", 2), at(2, 10, 10, "flex", 1)], 1, 10, {1: (10, 10), 2: (20, 10)}),
]  # fmt: skip


@pytest.mark.parametrize(("items", "named", "minutes", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_shift(items: list[Item], named: int, minutes: int, expected: dict[int, tuple[int, int]]) -> None:
    assert minutes_of(shift(items, named, minutes).changed) == expected


def test_an_anchor_that_no_longer_fits_is_reported() -> None:
    plan = shift([at(1, 0, 30), at(2, 30, 10, "anchor", 1)], 1, 15)
    assert [(c.item, c.waits_for, c.minutes) for c in plan.conflicts] == [(2, 1, 15)]


def test_an_overlap_that_was_planned_is_no_conflict() -> None:
    assert shift([at(1, 0, 90), at(2, 50, 25, "anchor", 1)], 1, 0).conflicts == ()
    assert shift([at(1, 0, 90), at(2, 50, 25, "flex", 1)], 1, 10).conflicts == ()
    assert [c.minutes for c in shift([at(1, 0, 90), at(2, 50, 25, "anchor", 1)], 1, 10).conflicts] == [50]


def test_a_long_chain_moves_as_one() -> None:
    plan = shift([at(n, n, 1, "flex", n - 1) for n in range(1, 3_000)], 1, 5)
    assert len(plan.changed) == 2_999


def test_reorder_reports_what_the_item_still_waits_for() -> None:
    plan = reorder([at(1, 0, 30), at(2, 40, 60), at(3, 100, 10, "flex", 2)], 3, 1)
    assert minutes_of(plan.changed) == {3: (30, 10)}
    assert [(c.item, c.waits_for, c.minutes) for c in plan.conflicts] == [(3, 2, 70)]


def test_reorder_starts_after_the_other_and_takes_followers_along() -> None:
    items = [at(1, 0, 30), at(2, 30, 20), at(3, 50, 10, "flex", 1)]
    assert minutes_of(reorder(items, 1, 2).changed) == {1: (50, 30), 3: (100, 10)}


@pytest.mark.parametrize(("item", "after"), [(1, 2), (2, 2), (9, 1), (3, 1)], ids=["circle", "itself", "unknown", "anchor"])
def test_reorder_refuses(item: int, after: int) -> None:
    items = [at(1, 0, 30), at(2, 30, 10, "flex", 1), at(3, 50, 10, "anchor")]
    with pytest.raises(Impossible):
        reorder(items, item, after)


@st.composite
def days(draw: st.DrawFn) -> list[Item]:
    """Any day, circles and overlaps included."""
    count = draw(st.integers(1, 8))
    ids = st.integers(1, count)
    return [
        at(
            n,
            draw(st.integers(0, 300)),
            draw(st.integers(0, 90)),
            draw(st.sampled_from(["anchor", "flex", "buffer", "cue"])),
            *draw(st.lists(ids, max_size=3, unique=True)),
            over=draw(st.booleans()),
        )
        for n in range(1, count + 1)
    ]


def assert_sound(items: list[Item], plan: Plan, named: int, minutes: int) -> None:
    """What holds for every change that moves `named` by at most `minutes`."""
    before = {item.id: item for item in items}
    after = before | plan.changed
    for n, item in plan.changed.items():
        moved = round((item.start - before[n].start).total_seconds() / 60)
        assert n == named or not (before[n].kind == "anchor" or before[n].over)
        assert n == named or before[n].kind == "buffer" or 0 < moved * (1 if minutes > 0 else -1) <= abs(minutes)
        assert item.minutes == before[n].minutes - plan.absorbed.get(n, 0) >= 0
    assert all(before[n].kind == "buffer" and eaten > 0 for n, eaten in plan.absorbed.items())
    assert minutes >= 0 or not plan.absorbed
    reported = {(c.item, c.waits_for) for c in plan.conflicts}
    for item in after.values():
        for parent in (after[p] for p in item.depends_on if p in after and p != item.id):
            planned = max(timedelta(0), before[parent.id].end - before[item.id].start)
            fits = parent.end - item.start <= planned
            assert fits or parent.over or item.over or (item.id, parent.id) in reported


@given(days(), st.integers(-240, 240))
def test_any_shift_of_any_day(items: list[Item], minutes: int) -> None:
    plan = shift(items, 1, minutes)
    assert_sound(items, plan, 1, minutes)
    if minutes >= 0:
        assert (plan.changed.get(1, items[0]).start - items[0].start) == timedelta(minutes=minutes)


@given(days(), st.integers(1, 240))
def test_earlier_breaks_nothing(items: list[Item], minutes: int) -> None:
    circle = any(waits_for_itself(items, item) for item in items)
    assert circle or shift(items, 1, -minutes).conflicts == ()


def waits_for_itself(items: list[Item], item: Item) -> bool:
    sheet, seen, waiting = {i.id: i for i in items}, set(), list(item.depends_on)
    while waiting:
        parent = waiting.pop()
        if parent in sheet and parent not in seen:
            seen.add(parent)
            waiting += sheet[parent].depends_on
    return item.id in seen


@given(days(), st.integers(1, 8))
def test_any_reorder_of_any_day(items: list[Item], after: int) -> None:
    sheet = {item.id: item for item in items}
    try:
        plan = reorder(items, 1, after)
    except Impossible:
        assert after not in sheet or sheet[1].kind == "anchor" or after == 1 or waits_for_itself_with(items, after)
        return
    assert plan.changed.get(1, sheet[1]).start == sheet[after].end
    assert_sound(items, plan, 1, round((sheet[after].end - sheet[1].start).total_seconds() / 60))


def waits_for_itself_with(items: list[Item], after: int) -> bool:
    """Whether item 1 would be in a circle if it also waited for `after`."""
    first, *others = items
    return waits_for_itself([replace(first, depends_on=(after,)), *others], replace(first, depends_on=(after,)))


@given(days())
def test_no_minutes_change_nothing(items: list[Item]) -> None:
    assert shift(items, 1, 0) == Plan()
