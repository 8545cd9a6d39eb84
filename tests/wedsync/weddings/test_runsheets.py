"""Run sheets as people write them: every mistake is told, and loading twice changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from realtime.kinds import KINDS, Shift
from realtime.messages import Sender
from realtime.roles import VIEWS, Role
from wedsync.weddings import demo
from wedsync.weddings.comparing import runsheet_changes
from wedsync.weddings.domain import domain
from wedsync.weddings.exporting import runsheet_csv
from wedsync.weddings.models import RunSheetItem, Wedding
from wedsync.weddings.runsheets import Row, load, read
from wedsync.weddings.tables import Unreadable

HEADER = "start,minutes,title,where,who,kind,depends_on,notes\n"
LONDON = ZoneInfo("Europe/London")
DAY = date(2027, 6, 12)
PLANNER = Sender("m1", "planner", "Sam")
SHEETS = sorted(Path(demo.__file__).parent.glob("*.csv"))


def rows(*lines: str, day: date = DAY, zone: ZoneInfo = LONDON) -> list[Row]:
    return read(HEADER + "\n".join(lines), day, zone)


def mistakes(*lines: str, day: date = DAY) -> list[tuple[int, str]]:
    with pytest.raises(Unreadable) as caught:
        rows(*lines, day=day)
    return [(mistake.line, mistake.column) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("path", SHEETS, ids=[path.stem for path in SHEETS])
def test_the_demo_sheets_are_read(path: Path) -> None:
    found = read(path.read_text(encoding="utf-8"), DAY, LONDON)
    assert len(found) == len(path.read_text(encoding="utf-8").splitlines()) - 1


def test_a_line_is_read() -> None:
    (first, second) = rows("14:35,30,Ceremony,Garden,officiant; couple,anchor,,quiet", "9:05,5,Doors,,,cue,Ceremony,")
    assert first == Row(
        2, datetime(2027, 6, 12, 13, 35, tzinfo=UTC), 30, "Ceremony", "Garden", ("officiant", "couple"), "anchor", (), "quiet"
    )
    assert (second.start.hour, second.depends_on) == (8, ("Ceremony",))


def test_a_date_of_its_own_a_byte_order_mark_and_empty_rows() -> None:
    found = read("\ufeff" + HEADER + "2027-06-11 18:00,60,Mehndi,,,flex,,\n\n,,,,,,,\n", DAY, LONDON)
    assert [row.start for row in found] == [datetime(2027, 6, 11, 17, 0, tzinfo=UTC)]


def test_several_dependencies() -> None:
    assert rows("10:00,5,A,,,flex,,", "10:00,5,B,,,flex,,", "11:00,5,C,,,flex,A; B,")[2].depends_on == ("A", "B")


def test_when_the_clocks_go_forward_an_hour_is_missing() -> None:
    with pytest.raises(Unreadable, match="line 2, start: 01:30 does not exist on 2027-03-28 in Europe/London"):
        rows("01:30,10,Early,,,flex,,", day=date(2027, 3, 28))


def test_when_the_clocks_go_back_the_first_of_two_hours_is_meant() -> None:
    (row,) = rows("01:30,10,Late,,,flex,,", day=date(2027, 10, 31))
    assert row.start == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


def test_the_second_of_two_hours_can_be_meant_too() -> None:
    (row,) = rows("2027-10-31 01:30+00:00,10,Late,,,flex,,", day=date(2027, 10, 31))
    assert row.start == datetime(2027, 10, 31, 1, 30, tzinfo=UTC)


def test_what_is_below_the_evening_before_the_morning_is_in_the_night_after() -> None:
    found = rows(
        "01:00,5,Early bird,,,flex,,", "23:30,60,Dancing,,,flex,,", "00:30,15,Last song,,,cue,,", "5:59 am,5,Bus,,,flex,,"
    )
    assert [row.start.astimezone(LONDON).strftime("%d %H:%M") for row in found] == [
        "12 01:00",
        "12 23:30",
        "13 00:30",
        "13 05:59",
    ]
    (dated, _) = rows("2027-06-12 00:30,15,A,,,flex,,", "23:30,60,B,,,flex,,")
    assert dated.start.astimezone(LONDON).day == 12


CASES = [
    ("time", ["25:00,5,A,,,flex,,"], [(2, "start")]),
    ("seconds", ["10:00:30,5,A,,,flex,,"], [(2, "start")]),
    ("minutes", ["10:00,0,A,,,flex,,", "10:00,-1,B,,,flex,,", "10:00,,C,,,flex,,", "10:00," + "9" * 5000 + ",D,,,flex,,"],
     [(2, "minutes"), (3, "minutes"), (4, "minutes"), (5, "minutes")]),
    ("title", ["10:00,5,,,,flex,,", f"10:00,5,{'x' * 161},,,flex,,"], [(2, "title"), (3, "title")]),
    ("where", [f"10:00,5,A,{'x' * 161},,flex,,"], [(2, "where")]),
    ("notes", [f"10:00,5,A,,,flex,,{'x' * 501}"], [(2, "notes")]),
    ("kind", ["10:00,5,A,,,party,,"], [(2, "kind")]),
    ("unknown dependency", ["10:00,5,A,,,flex,Z,"], [(2, "depends_on")]),
    ("ambiguous dependency", ["10:00,5,A,,,flex,,", "10:00,5,A,,,flex,,", "11:00,5,B,,,flex,A,"], [(4, "depends_on")]),
    ("circle", ["10:00,5,A,,,flex,B,", "10:00,5,B,,,flex,A,"], [(2, "depends_on"), (3, "depends_on")]),
    ("all of a line and all lines", ["25:00,x,,,,party,Z,", "10:00,5,A,,,flex,Y,"],
     [(2, "start"), (2, "minutes"), (2, "title"), (2, "kind"), (2, "depends_on"), (3, "depends_on")]),
    ("what waits for a wrong line is right", ["25:00,5,A,,,flex,,", "10:00,5,B,,,flex,A,"], [(2, "start")]),
    ("too many cells", ["10:00,5,A,,,flex,,,more"], [(2, "notes")]),
    ("nothing", [], [(1, "start")]),
    ("no CSV", ["10:00,5," + "x" * 200_000 + ",,,flex,,"], [(2, "start")]),
]  # fmt: skip


def test_a_sheet_whose_buffer_a_delay_has_eaten_comes_back(wedding: Wedding) -> None:
    load(wedding, rows("14:00,30,Photos,,,flex,,", "14:30,15,Slack,,,buffer,,", "14:45,30,Dinner,,,flex,Photos,"))
    domain.act("w", KINDS["timeline.shift"], Shift(wedding.items.get(title="Photos").pk, 20), PLANNER)
    assert wedding.items.get(title="Slack").minutes == 0
    again = read(runsheet_csv(wedding), DAY, LONDON)
    assert [(row.title, row.minutes) for row in again] == [("Photos", 30), ("Slack", 0), ("Dinner", 30)]


@pytest.mark.parametrize(("lines", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_mistakes(lines: list[str], expected: list[tuple[int, str]]) -> None:
    assert mistakes(*lines) == expected


def test_missing_columns_are_named() -> None:
    with pytest.raises(Unreadable) as caught:
        read("start,title\n10:00,A\n", DAY, LONDON)
    assert {m.column for m in caught.value.mistakes} == {"minutes", "where", "who", "kind", "depends_on", "notes"}


@pytest.fixture
def wedding(db: None) -> Wedding:
    at = datetime(2027, 6, 12, 13, 35, tzinfo=UTC)
    return Wedding.objects.create(slug="w", names="A & B", venue="V", timezone="Europe/London", ceremony_at=at)


SHEET = ("10:00,15,Buffer,,,buffer,,", "11:00,5,Ceremony,,DJ,anchor,,", "12:00,15,Buffer,,,buffer,Ceremony,")


def state(wedding: Wedding) -> list[tuple[object, ...]]:
    return list(wedding.items.values_list("pk", "title", "start", "status", "visibility", "depends_on", "version"))


def test_the_same_rows_again_change_nothing(wedding: Wedding) -> None:
    loaded = load(wedding, rows(*SHEET), {"Ceremony": "crew"})
    before = state(wedding)
    assert [line[1] for line in before] == ["Buffer", "Ceremony", "Buffer"]
    assert before[2][5] == [before[1][0]]
    assert loaded.changed == tuple(line[0] for line in before)
    again = load(wedding, rows(*SHEET))
    assert (again.changed, again.removed, state(wedding)) == ((), (), before)


def test_a_changed_sheet_keeps_ids_and_what_happened(wedding: Wedding) -> None:
    load(wedding, rows(*SHEET), {"Ceremony": "crew"})
    first, ceremony, last = wedding.items.all()
    RunSheetItem.objects.filter(pk=ceremony.pk).update(status="completed")
    loaded = load(wedding, rows("11:30,5,Ceremony,,DJ,anchor,,", "13:00,15,Cake,,,cue,Ceremony,", SHEET[0]))
    assert loaded.removed == (last.pk,)
    kept = {item.title: item for item in wedding.items.all()}
    assert set(kept) == {"Buffer", "Ceremony", "Cake"}
    assert (kept["Buffer"].pk, kept["Buffer"].version) == (first.pk, 1)
    assert (kept["Ceremony"].pk, kept["Ceremony"].version) == (ceremony.pk, 2)
    assert (kept["Ceremony"].status, kept["Ceremony"].visibility) == ("completed", "crew")
    assert loaded.changed == (ceremony.pk, kept["Cake"].pk)


@pytest.mark.parametrize("shifts", [(20,), (20, -20), (20, -20, 5)], ids=str)
def test_a_preview_says_what_a_load_does_after_the_day_has_moved(wedding: Wedding, shifts: tuple[int, ...]) -> None:
    load(wedding, rows("14:00,30,Photos,,,flex,,", "15:00,30,Dinner,,,flex,Photos,"))
    for minutes in shifts:
        domain.act("w", KINDS["timeline.shift"], Shift(wedding.items.get(title="Photos").pk, minutes), PLANNER)
    again = read(runsheet_csv(wedding), DAY, LONDON)
    said = runsheet_changes(wedding, again)
    assert len(said) == len(load(wedding, again).changed) == (2 if sum(shifts) else 0)
    assert all("planned: Sat 12 Jun 1" in change.details for change in said)


def test_visibility_is_a_column_that_may_be_left_out(wedding: Wedding) -> None:
    header = HEADER.replace("notes", "notes,visibility")
    table = (
        "14:00,5,Doors,,,flex,,,Crew",
        "15:00,5,Cake,,,cue,Doors,,",
        "16:00,9,Buffer,,,buffer,,,",
        "17:00,5,Gift,,,cue,,,planners",
    )

    def levels() -> dict[str, str]:
        return dict(wedding.items.values_list("title", "visibility"))

    load(wedding, read(header + "\n".join(table), DAY, LONDON))
    assert levels() == {"Doors": "crew", "Cake": "everyone", "Buffer": "crew", "Gift": "planners"}
    before = state(wedding)
    load(wedding, rows(*(line.rpartition(",")[0] for line in table)))
    assert state(wedding) == before, "without the column it stays as it is"


def test_what_other_people_may_see_from_now_on_is_another_item(wedding: Wedding) -> None:
    load(wedding, rows(*SHEET))
    ceremony = wedding.items.get(title="Ceremony")
    RunSheetItem.objects.filter(pk=ceremony.pk).update(status="completed")
    header = HEADER.replace("notes", "notes,visibility")
    table = read(header + "\n".join(f"{line},{'crew' if 'anchor' in line else ''}" for line in SHEET), DAY, LONDON)
    assert [change.title for change in runsheet_changes(wedding, table)] == ["Ceremony"]
    loaded = load(wedding, table)
    hidden = wedding.items.get(title="Ceremony")
    last = wedding.items.filter(title="Buffer").last()
    assert last is not None and last.depends_on == [hidden.pk]
    assert (hidden.visibility, hidden.status, loaded.removed) == ("crew", "completed", (ceremony.pk,))
    guests = [item["title"] for item in domain.items("w", VIEWS[Role.GUEST])]
    assert "Ceremony" not in guests
