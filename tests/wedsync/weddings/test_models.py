"""A wedding, its room and its day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from realtime.config import RealtimeConfig
from realtime.draft import draft
from realtime.journal import Journal
from realtime.messages import Sender
from realtime.models import JournalEntry, OutboxEntry, Room
from realtime.publish import publish
from tests.fakes import ManualClock
from wedsync.weddings.domain import domain
from wedsync.weddings.models import Member, RunSheetItem, Wedding

pytestmark = pytest.mark.django_db
PLANNER = Sender("m1", "planner", "Sam")
CEREMONY = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


def make(slug: str = "w") -> Wedding:
    return Wedding.objects.create(slug=slug, names="A & B", venue="V", timezone="Europe/London", ceremony_at=CEREMONY)


def test_saving_a_wedding_opens_its_room_once() -> None:
    make().save()
    assert [room.name for room in Room.objects.all()] == ["w"]


@pytest.mark.parametrize("delete", [Wedding.delete, lambda wedding: Wedding.objects.filter(pk=wedding.pk).delete()])
def test_a_deleted_wedding_takes_its_room_along(delete: Callable[[Wedding], object]) -> None:
    wedding, other = make(), make("other")
    for slug in ("w", "other"):
        publish(slug, "announcement", {"text": "Welcome"})  # in a transaction: it waits in the outbox
        Journal(domain, ManualClock()).commit(
            [draft(RealtimeConfig(), slug, "chat.crew", {"text": "of before"}, sender=PLANNER)]
        )
    delete(wedding)
    kept = [list(model.objects.values_list("room__name", flat=True)) for model in (JournalEntry, OutboxEntry)]
    assert kept == [["other"], ["other"]] and other.slug in kept[0]
    assert not JournalEntry.objects.filter(room__name=make().slug).exists()


def test_without_a_run_sheet_the_day_is_counted_from_the_ceremony() -> None:
    start, end = make().window
    # In venue time, and the clocks go back in between: people leave by the clock on the wall, an hour later.
    assert (start, end) == (CEREMONY - timedelta(hours=8), CEREMONY + timedelta(hours=8))
    assert (start.utcoffset(), end.utcoffset()) == (timedelta(hours=1), timedelta(0))


def test_with_a_run_sheet_the_day_lasts_until_the_item_that_ends_last() -> None:
    wedding = make()
    for hours, minutes in ((0, 600), (1, 10)):
        start = CEREMONY + timedelta(hours=hours)
        RunSheetItem.objects.create(wedding=wedding, title="x", start=start, minutes=minutes)
    assert wedding.window == (CEREMONY - timedelta(hours=8), CEREMONY + timedelta(hours=12))


@pytest.mark.parametrize(
    ("days", "opens_h"),
    [([-30, 0], -8), ([-7], -8), ([-7, 0], -7 * 24 - 2)],
    ids=["a slip", "left behind when it was put off", "a week of celebrations"],
)
def test_the_day_of_the_ceremony_counts_wherever_the_run_sheet_is(days: list[int], opens_h: int) -> None:
    wedding = make()
    for n in days:
        RunSheetItem.objects.create(wedding=wedding, title="x", start=CEREMONY + timedelta(days=n), minutes=30)
    assert wedding.window == (CEREMONY + timedelta(hours=opens_h), CEREMONY + timedelta(hours=8))


def test_a_slip_in_the_year_of_an_item_holds_nothing_up() -> None:
    wedding = make()
    for year in (1, 2072, 9999):
        RunSheetItem.objects.create(wedding=wedding, title="x", start=datetime(year, 6, 12, tzinfo=UTC), minutes=2**31 - 1)
    assert wedding.window == (CEREMONY - timedelta(hours=8), CEREMONY + timedelta(hours=8))


def test_the_time_zone_is_checked() -> None:
    wedding = Wedding(slug="w", names="A & B", venue="V", timezone="Europe/Atlantis", ceremony_at=CEREMONY)
    with pytest.raises(ValidationError, match="is not a time zone"):
        wedding.full_clean()


def test_join_keys_are_unguessable_and_staff_is_no_member() -> None:
    wedding = make()
    keys = {Member.objects.create(wedding=wedding, name="x", role="guest").join_key for _ in range(20)}
    assert len(keys) == 20 and min(map(len, keys)) >= 22
    with pytest.raises(ValidationError, match="role"):
        Member(wedding=wedding, name="x", role="staff").full_clean()


@pytest.mark.parametrize("depends_on", [["4"], {"a": 1}, [[1]], [999_999], [True], [10**24], [-1]], ids=str)
def test_dependencies_are_ids_of_the_same_run_sheet(depends_on: object) -> None:
    item = RunSheetItem(wedding=make(), title="x", start=CEREMONY, minutes=5, depends_on=depends_on)
    with pytest.raises(ValidationError, match="depends_on"):
        item.full_clean()


def test_an_item_waits_for_another_one() -> None:
    wedding = make()
    first = RunSheetItem.objects.create(wedding=wedding, title="x", start=CEREMONY, minutes=5)
    RunSheetItem(wedding=wedding, title="y", start=CEREMONY, minutes=5, depends_on=[first.pk], who=["DJ"]).full_clean()
    first.depends_on = [first.pk]
    with pytest.raises(ValidationError, match="Not other items"):
        first.full_clean()


def item(wedding: Wedding, title: str = "x", **more: object) -> RunSheetItem:
    return RunSheetItem(wedding=wedding, **{"title": title, "start": CEREMONY, "minutes": 5, **more})


SLIPS: list[tuple[dict[str, object], str]] = [
    ({"minutes": 0}, "minutes"),
    ({"minutes": 2_881}, "minutes"),
    ({"minutes": 2**31 - 1, "kind": "buffer"}, "minutes"),
    ({"who": ["Smith; Sons"]}, "who"),
    ({"who": ["DJ", "DJ"]}, "who"),
    ({"who": [""]}, "who"),
    ({"who": [f"{n:099}" for n in range(6)]}, "who"),
    ({"who": ["\ud83d"]}, "who"),
    ({"who": ["a\0b"]}, "who"),
    ({"start": CEREMONY + timedelta(seconds=30)}, "start"),
    ({"start": CEREMONY + timedelta(days=15)}, "start"),
    ({"start": datetime(1, 1, 1, tzinfo=UTC)}, "start"),
    ({"start": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)}, "start"),
]


@pytest.mark.parametrize(("wrong", "field"), SLIPS, ids=[ascii(slip[0])[:40] for slip in SLIPS])
def test_an_item_that_an_import_would_refuse_is_refused(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        item(make(), **wrong).full_clean()
    assert list(caught.value.message_dict) == [field]


def test_a_buffer_may_have_nothing_left_and_empty_lists_may_be_left_out() -> None:
    line = item(make(), minutes=0, kind="buffer", who=None, depends_on=None)
    line.full_clean()
    assert (line.who, line.depends_on) == ([], [])


def test_what_is_waited_for_has_a_title_that_can_be_told_apart() -> None:
    wedding = make()
    photos, toast, other = item(wedding, "Photos"), item(wedding, "Speeches; toast"), item(wedding, "Other")
    for line in (photos, toast, other):
        line.full_clean()
        line.save()
    with pytest.raises(ValidationError, match="contains ';'"):
        item(wedding, "Dinner", depends_on=[toast.pk]).full_clean()
    dinner = item(wedding, "Dinner", depends_on=[photos.pk, photos.pk])
    dinner.full_clean()
    dinner.save()
    assert dinner.depends_on == [photos.pk]
    with pytest.raises(ValidationError, match="title.*several items"):
        item(wedding, "Photos").full_clean()
    photos.depends_on = [dinner.pk]
    with pytest.raises(ValidationError, match="wait for itself"):
        photos.full_clean()


@pytest.mark.parametrize("year", [1, 1999, 2100, 9999])
def test_the_year_of_a_wedding_is_checked(year: int) -> None:
    wedding = make()
    wedding.ceremony_at = datetime(year, 12, 31, 23, 59, tzinfo=UTC)
    with pytest.raises(ValidationError, match="ceremony_at"):
        wedding.full_clean()
