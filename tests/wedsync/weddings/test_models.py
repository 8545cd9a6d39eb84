"""A wedding, its room and its day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from realtime.models import Room
from wedsync.weddings.models import EARLIEST, LATEST, Member, RunSheetItem, Wedding

pytestmark = pytest.mark.django_db
CEREMONY = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


def make(slug: str = "w") -> Wedding:
    return Wedding.objects.create(slug=slug, names="A & B", venue="V", timezone="Europe/London", ceremony_at=CEREMONY)


def test_saving_a_wedding_opens_its_room_once() -> None:
    make().save()
    assert [room.name for room in Room.objects.all()] == ["w"]


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
    assert wedding.window == (CEREMONY - timedelta(hours=2), CEREMONY + timedelta(hours=12))


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


@pytest.mark.parametrize("depends_on", [["4"], {"a": 1}, [[1]], [999_999], [True]], ids=str)
def test_dependencies_are_ids_of_the_same_run_sheet(depends_on: object) -> None:
    item = RunSheetItem(wedding=make(), title="x", start=CEREMONY, minutes=5, depends_on=depends_on)
    with pytest.raises(ValidationError, match="depends_on"):
        item.full_clean()


@pytest.mark.parametrize(
    ("start", "minutes", "field"),
    [
        (LATEST + timedelta(seconds=1), 5, "start"),
        (EARLIEST - timedelta(seconds=1), 5, "start"),
        (LATEST, 5, "minutes"),
        (LATEST - timedelta(days=366), 2**31 - 1, "minutes"),
        (CEREMONY, 2**62, "minutes"),
    ],
)
def test_an_item_is_at_a_moment_that_everybody_can_read(start: datetime, minutes: int, field: str) -> None:
    item = RunSheetItem(wedding=make(), title="x", start=start, minutes=minutes)
    with pytest.raises(ValidationError) as refused:
        item.full_clean()
    assert list(refused.value.message_dict) == [field]
    RunSheetItem(wedding=item.wedding, title="x", start=LATEST - timedelta(minutes=5), minutes=5).full_clean()


@pytest.mark.parametrize("at", [LATEST + timedelta(seconds=1), EARLIEST - timedelta(seconds=1)])
def test_so_is_a_ceremony(at: datetime) -> None:
    with pytest.raises(ValidationError, match="ceremony_at"):
        Wedding(slug="w", names="x", venue="x", timezone="UTC", ceremony_at=at).full_clean()


def test_an_item_waits_for_another_one() -> None:
    wedding = make()
    first = RunSheetItem.objects.create(wedding=wedding, title="x", start=CEREMONY, minutes=5)
    RunSheetItem(wedding=wedding, title="y", start=CEREMONY, minutes=5, depends_on=[first.pk], who=["DJ"]).full_clean()
    first.depends_on = [first.pk]
    with pytest.raises(ValidationError, match="Not other items"):
        first.full_clean()
