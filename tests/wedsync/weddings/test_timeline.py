"""What moves when something is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wedsync.weddings.timeline import Impossible, Item, reorder, shift

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
]  # fmt: skip


@pytest.mark.parametrize(("items", "named", "minutes", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_shift(items: list[Item], named: int, minutes: int, expected: dict[int, tuple[int, int]]) -> None:
    assert minutes_of(shift(items, named, minutes).changed) == expected


def test_an_anchor_that_no_longer_fits_is_reported() -> None:
    plan = shift([at(1, 0, 30), at(2, 30, 10, "anchor", 1)], 1, 15)
    assert [(c.item, c.waits_for, c.minutes) for c in plan.conflicts] == [(2, 1, 15)]


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


@given(days(), st.integers(-240, 240))
def test_any_shift_of_any_day(items: list[Item], minutes: int) -> None:
    before = {item.id: item for item in items}
    plan = shift(items, 1, minutes)
    for n, item in plan.changed.items():
        moved = round((item.start - before[n].start).total_seconds() / 60)
        assert n == 1 or before[n].kind != "anchor"
        assert n == 1 or not before[n].over
        assert abs(moved) <= abs(minutes) or before[n].kind == "buffer"
        assert n == 1 or before[n].kind == "buffer" or moved * minutes > 0, "everything moves the way the named item does"
        assert item.minutes == before[n].minutes - plan.absorbed.get(n, 0) >= 0
    assert set(plan.absorbed) <= {item.id for item in items if item.kind == "buffer"}
    assert all(0 <= eaten <= before[n].minutes for n, eaten in plan.absorbed.items())


@given(days())
def test_no_minutes_change_nothing(items: list[Item]) -> None:
    assert shift(items, 1, 0).changed == {}
