"""Files as they come: good ones are read whatever wrote them, bad ones are refused whole, each mistake by line and column."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from realtime.models import JournalEntry, Room
from realtime.roles import Audience
from wedsync.weddings import demo
from wedsync.weddings.calendars import COLUMNS, read
from wedsync.weddings.models import LATEST, RunSheetItem, Wedding
from wedsync.weddings.runsheets import read as read_sheet
from wedsync.weddings.tables import Unreadable, decode, wall_time

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = ",".join(COLUMNS)
OTHER = "hall-2,The Hall,America/New_York,2027-06-12Tnoon,120,11,1,46"
TWICE = "14:00,5,A,,,flex,,\n15:00,5,A,,,flex,,\n16:00,5,B,,,flex,A,"
GOOD = "hall-1,The Hall,America/New_York,2027-06-12T14:30,120,11,1,46"
SHEET_HEADER = "start,minutes,title,where,who,kind,depends_on,notes"
SHEET = "14:00,30,Doors,Gate,venue,anchor,,\n14:30,30,Ceremony,Garden,officiant,anchor,Doors,"


def run(command: str, *args: str) -> dict[str, int]:
    out = io.StringIO()
    call_command(command, *args, "--json", stdout=out)
    found: dict[str, int] = json.loads(out.getvalue())
    return found


def refused(command: str, *args: str) -> str:
    with pytest.raises(CommandError) as caught:
        run(command, *args)
    assert caught.value.returncode == 2
    return str(caught.value)


@pytest.fixture
def wedding() -> Wedding:
    noon = datetime(2027, 6, 12, 12, tzinfo=UTC)
    return Wedding.objects.create(slug="w", names="A & B", venue="V", timezone="Europe/London", ceremony_at=noon)


def state() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (Wedding, RunSheetItem, JournalEntry)]


def test_a_calendar_twice_is_the_same_as_once(tmp_path: Path) -> None:
    file = tmp_path / "calendar.csv"
    file.write_text("\n".join([HEADER, *(GOOD.replace("hall-1", f"hall-{n}") for n in range(270))]))
    assert run("import_calendar", str(file)) == {"created": 270, "updated": 0, "unchanged": 0}
    before = state()
    assert run("import_calendar", str(file)) == {"created": 0, "updated": 0, "unchanged": 270}
    assert state() == before
    hall = Wedding.objects.get(slug="hall-7")
    assert hall.ceremony_at == datetime(2027, 6, 12, 18, 30, tzinfo=UTC) and hall.expected_connections == 46


def test_a_sheet_twice_is_the_same_as_once_and_is_told_to_the_room(tmp_path: Path, wedding: Wedding) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(f"{SHEET_HEADER}\n{SHEET}")
    assert run("import_runsheet", "w", str(file)) == {"read": 2, "changed": 2, "removed": 0}
    told = list(JournalEntry.objects.order_by("offset").values_list("kind", flat=True))
    assert told == ["timeline.sheet", "timeline.items", "timeline.items"]
    before = state()
    assert run("import_runsheet", "w", str(file)) == {"read": 2, "changed": 0, "removed": 0}
    assert state() == before


def test_what_is_for_the_crew_from_now_on_leaves_the_screens_of_guests(tmp_path: Path, wedding: Wedding) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(f"{SHEET_HEADER}\n{SHEET}")
    run("import_runsheet", "w", str(file))
    before = RunSheetItem.objects.get(title="Ceremony").pk
    last = JournalEntry.objects.latest("offset").offset
    rows = SHEET.splitlines()
    file.write_text(f"{SHEET_HEADER},visibility\n{rows[0]},\n{rows[1]},crew\n")
    assert run("import_runsheet", "w", str(file)) == {"read": 2, "changed": 1, "removed": 1}
    told = {e.audience: json.loads(e.result or e.data) for e in JournalEntry.objects.filter(offset__gt=last)}
    everyone, crew = told[Audience.EVERYONE], told[Audience.CREW]
    assert ([item["title"] for item in everyone["items"]], everyone["removed"]) == (["Doors"], [before])
    assert ([item["title"] for item in crew["items"]], crew["removed"]) == (["Doors", "Ceremony"], [before])


@pytest.mark.parametrize("path", sorted(Path(demo.__file__).parent.glob("*.csv")), ids=lambda path: path.stem)
def test_the_real_sheets_import(path: Path, wedding: Wedding) -> None:
    assert run("import_runsheet", "w", str(path))["changed"] == len(path.read_text().splitlines()) - 1


ENCODINGS = [
    ("utf-8 with a mark", lambda text: text.encode("utf-8-sig")),
    ("windows", lambda text: text.encode("cp1252")),
    ("utf-16", lambda text: text.encode("utf-16")),
    ("windows line ends", lambda text: text.replace("\n", "\r\n").encode()),
    ("semicolons", lambda text: text.replace(",", ";").encode("cp1252")),
    ("tabs", lambda text: text.replace(",", "\t").encode()),
    ("old line ends", lambda text: text.replace("\n", "\r").encode()),
    ("Excel says its separator", lambda text: ("sep=;\r\n" + text.replace(",", ";")).encode("utf-8-sig")),
    ("columns of its own", lambda text: text.replace("start", "phone,start").replace("2:00 PM", "123,2:00 PM").encode()),
    ("seconds of zero", lambda text: text.replace("2:00 PM", "2:00:00 PM").encode()),
    ("a narrow space", lambda text: text.replace("2:00 PM", "2:00\u202fp.m.").encode()),
    ("capitals", lambda text: text.replace("start", " Start ").encode()),
]


@pytest.mark.parametrize("encode", [row[1] for row in ENCODINGS], ids=[row[0] for row in ENCODINGS])
def test_spreadsheets_in_the_wild(encode: Any) -> None:
    text = f"{SHEET_HEADER}\n2:00 PM,30,Café doors,Gate,venue,Anchor,,\n"
    (row,) = read_sheet(decode(encode(text)), date(2027, 6, 12), ZoneInfo("Europe/London"))
    assert (row.title, row.start, row.kind) == ("Café doors", datetime(2027, 6, 12, 13, tzinfo=UTC), "anchor")


def test_formulas_html_and_quoted_commas_are_text() -> None:
    text = f'{SHEET_HEADER}\n14:00,30,"=1+1, <b>x</b>",Gate,,flex,,"a ""b"", c"\n'
    (row,) = read_sheet(text, date(2027, 6, 12), ZoneInfo("Europe/London"))
    assert (row.title, row.notes) == ("=1+1, <b>x</b>", 'a "b", c')


CLOCKS = [
    ("14:30", "14:30"),
    ("9:05", "09:05"),
    ("14.30", "14:30"),
    ("2:30 PM", "14:30"),
    ("12 am", "00:00"),
    ("12pm", "12:00"),
    ("2:30:00 PM", "14:30"),
    ("14:30:00", "14:30"),
    ("14.30.00", "14:30"),
    ("00:00", "00:00"),
]


@pytest.mark.parametrize(("cell", "expected"), CLOCKS)
def test_times_of_day(cell: str, expected: str) -> None:
    assert f"{wall_time(cell):%H:%M}" == expected


BAD_CALENDARS = [
    ("empty", "", 1, "slug"),
    ("only a header", HEADER, 1, "slug"),
    ("a column is missing", HEADER.replace(",venue", "") + "\n" + GOOD, 1, "venue"),
    ("duplicate slug", f"{HEADER}\n{GOOD}\n{GOOD}", 3, "slug"),
    ("bad slug", f"{HEADER}\n{GOOD.replace('hall-1', 'The Hall!')}", 2, "slug"),
    ("unknown zone", f"{HEADER}\n{GOOD.replace('America/New_York', 'Mars/Olympus')}", 2, "timezone"),
    ("impossible date", f"{HEADER}\n{GOOD.replace('06-12', '02-30')}", 2, "ceremony_local"),
    ("impossible time", f"{HEADER}\n{GOOD.replace('14:30', '25:10')}", 2, "ceremony_local"),
    ("a time that does not exist", f"{HEADER}\n{GOOD.replace('06-12T14:30', '03-14T02:30')}", 2, "ceremony_local"),
    ("negative guests", f"{HEADER}\n{GOOD.replace('120', '-1')}", 2, "invited_guests"),
    ("words for a number", f"{HEADER}\n{GOOD.replace(',46', ',many')}", 2, "expected_connections"),
    ("no venue", f"{HEADER}\n{GOOD.replace('The Hall', '')}", 2, "venue"),
    ("too many cells", f"{HEADER}\n{GOOD},1,2", 2, "expected_connections"),
    ("a zone of the machine", f"{HEADER}\n{GOOD.replace('America/New_York', 'localtime')}", 2, "timezone"),
    ("the first of all days", f"{HEADER}\n{GOOD.replace('2027-06-12T14:30', '0001-01-01T00:00')}", 2, "ceremony_local"),
    ("the last of all days", f"{HEADER}\n{GOOD.replace('2027-06-12T14:30', '9999-12-31T23:59')}", 2, "ceremony_local"),
    ("no date", f"{HEADER}\n{GOOD.replace('2027-06-12T14:30', '14:30')}", 2, "ceremony_local"),
    ("HTML for a slug", f"{HEADER}\n{GOOD.replace('hall-1', '<b>x</b>')}", 2, "slug"),
    ("a formula for a number", f"{HEADER}\n{GOOD.replace(',46', ',=40+6')}", 2, "expected_connections"),
    ("an endless slug", f"{HEADER}\n{GOOD.replace('hall-1', 'x' * 81)}", 2, "slug"),
    ("an endless calendar", HEADER + "".join("\n" + GOOD.replace("hall-1", f"h-{n}") for n in range(20_001)), 20_002, "slug"),
    ("an open quote", f'{HEADER}\n"{GOOD}', 2, "slug"),
    ("a good one and a bad one", f"{HEADER}\n{GOOD}\n{OTHER}", 3, "ceremony_local"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column"), [bad[1:] for bad in BAD_CALENDARS], ids=[bad[0] for bad in BAD_CALENDARS])
def test_bad_calendars_are_refused_and_change_nothing(tmp_path: Path, text: str, line: int, column: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    sentence = refused("import_calendar", str(file))
    assert f"line {line}, {column}: " in sentence and "nothing was changed" in sentence
    assert state() == [[], [], []]


BAD_SHEETS = [
    ("empty", "", 1, "start"),
    ("a column is missing", "start,title\n14:00,x", 1, "minutes"),
    ("impossible time", f"{SHEET_HEADER}\n26:00,30,Doors,,,flex,,", 2, "start"),
    ("negative minutes", f"{SHEET_HEADER}\n14:00,-5,Doors,,,flex,,", 2, "minutes"),
    ("no minutes", f"{SHEET_HEADER}\n14:00,,Doors,,,flex,,", 2, "minutes"),
    ("no title", f"{SHEET_HEADER}\n14:00,5,,,,flex,,", 2, "title"),
    ("unknown kind", f"{SHEET_HEADER}\n14:00,5,Doors,,,party,,", 2, "kind"),
    ("missing dependency", f"{SHEET_HEADER}\n14:00,5,Doors,,,flex,Nothing,", 2, "depends_on"),
    ("a circle", f"{SHEET_HEADER}\n14:00,5,A,,,flex,B,\n15:00,5,B,,,flex,A,", 2, "depends_on"),
    ("waits for itself", f"{SHEET_HEADER}\n14:00,5,A,,,flex,A,", 2, "depends_on"),
    ("a dependency that stands twice", f"{SHEET_HEADER}\n{TWICE}", 4, "depends_on"),
    ("too long", f"{SHEET_HEADER}\n14:00,5,{'x' * 200},,,flex,,", 2, "title"),
    ("too many cells", f"{SHEET_HEADER}\n14:00,5,A,,,flex,,,x", 2, "notes"),
    ("an open quote", f'{SHEET_HEADER}\n14:00,5,"A,,,flex,,', 2, "start"),
    ("a closed quote and more", f'{SHEET_HEADER}\n14:00,5,"A"B,,,flex,,', 2, "start"),
    ("a quote that swallows the rest", f'{SHEET_HEADER}\n{SHEET}\n15:00,5,"B,,,flex,,\n16:00,5,C,,,flex,,', 4, "start"),
    ("lines of a cell count", f'{SHEET_HEADER}\n14:00,5,A,,,flex,,"x\ny\nz"\n15:00,x,B,,,flex,,', 5, "minutes"),
    ("the first line of a row names it", f'{SHEET_HEADER}\n14:00,x,A,,,flex,,"x\ny\nz"', 2, "minutes"),
    ("a column that stands there twice", f"{SHEET_HEADER},Title\n14:00,5,A,,,flex,,,B", 1, "title"),
    ("unknown visibility", f"{SHEET_HEADER},visibility\n14:00,5,A,,,flex,,,staff", 2, "visibility"),
    ("a slip in the name of the column that hides", f"{SHEET_HEADER},visiblity\n14:00,5,A,,,flex,,,crew", 1, "visiblity"),
    ("another year", f"{SHEET_HEADER}\n2072-06-12 14:00,5,A,,,flex,,", 2, "start"),
    ("the first of all days", f"{SHEET_HEADER}\n0001-01-01 00:00,5,A,,,flex,,", 2, "start"),
    ("the last of all days", f"{SHEET_HEADER}\n9999-12-31 23:59,5,A,,,flex,,", 2, "start"),
    ("a span", f"{SHEET_HEADER}\n14:00-15:00,5,A,,,flex,,", 2, "start"),
    ("24:00", f"{SHEET_HEADER}\n24:00,5,A,,,flex,,", 2, "start"),
    ("13 PM", f"{SHEET_HEADER}\n13:00 PM,5,A,,,flex,,", 2, "start"),
    ("a clock that the venue does not have", f"{SHEET_HEADER}\n2027-06-12 14:00+05:00,5,A,,,flex,,", 2, "start"),
    ("half a minute", f"{SHEET_HEADER}\n14:00,2.5,A,,,flex,,", 2, "minutes"),
    ("an endless sheet", f"{SHEET_HEADER}\n" + "14:00,5,A,,,flex,,\n" * 1_001, 1002, "start"),
    ("a name list without end", f"{SHEET_HEADER}\n14:00,5,A,,{'dj;' * 200},flex,,", 2, "who"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column"), [bad[1:] for bad in BAD_SHEETS], ids=[bad[0] for bad in BAD_SHEETS])
def test_bad_sheets_are_refused_and_change_nothing(tmp_path: Path, wedding: Wedding, text: str, line: int, column: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    before = state()
    sentence = refused("import_runsheet", "w", str(file))
    assert f"line {line}, {column}: " in sentence
    assert state() == before


def test_a_wedding_at_the_end_of_all_days_gets_no_sheet_that_cannot_be_shown() -> None:
    def mistakes(text: str) -> list[tuple[int, str]]:
        with pytest.raises(Unreadable) as refused:
            read_sheet(f"{SHEET_HEADER}\n{text}", LATEST.date(), ZoneInfo("Pacific/Auckland"))
        return [(mistake.line, mistake.column) for mistake in refused.value.mistakes]

    assert mistakes("12:30,5,A,,,flex,,\n01:00,5,B,,,flex,,") == [(3, "start")]
    assert mistakes("12:59,5,A,,,flex,,") == [(2, "start")]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    for raw in (b"PK\x03\x04 not a csv", b"slug\0,venue", b"\x81\x8d", b"\xff\xfe\x00", HEADER.encode("utf-16-le")):
        file.write_bytes(raw)
        assert "export the table as CSV" in refused("import_calendar", str(file))
    file.write_bytes(b"x" * 2_000_001)
    assert "more than 2,000,000 bytes" in refused("import_calendar", str(file))
    assert "more than 2,000,000 bytes" in refused("import_calendar", "/dev/zero"), "without an end, too"
    assert "No such file" in refused("import_calendar", str(tmp_path / "gone.csv"))
    assert "Is a directory" in refused("import_calendar", str(tmp_path))
    assert "no wedding" in refused("import_runsheet", "nobody", str(file))


def test_every_bad_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("\n".join([HEADER, *(GOOD.replace("hall-1", f"Hall {n}") for n in range(1_200))]))
    sentence = refused("import_calendar", str(file))
    assert "1,200 mistakes" in sentence and "and 200 more" in sentence
    assert all(f"line {line}, slug: 'Hall" in sentence for line in range(2, 1_002))


def test_a_dry_run_says_what_would_change_and_changes_nothing(tmp_path: Path, wedding: Wedding) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"{SHEET_HEADER}\n{SHEET}")
    before = state()
    assert run("import_runsheet", "w", str(file), "--dry-run") == {"read": 2, "new": 2, "changed": 0, "removed": 0}
    out = io.StringIO()
    call_command("import_runsheet", "w", str(file), "--dry-run", stdout=out)
    assert (
        "new Doors: Sat 12 Jun 14:00, 30 min, anchor, for everyone" in out.getvalue()
        and "nothing was changed" in out.getvalue()
    )
    file.write_text(f"{HEADER}\n{GOOD}")
    assert run("import_calendar", str(file), "--dry-run") == {"read": 1, "new": 1, "changed": 0, "removed": 0}
    assert state() == before


def test_a_calendar_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "calendar.csv"
    file.write_text(f"{HEADER}\n{GOOD}")
    run("import_calendar", str(file))
    Wedding.objects.update(names="Ana & Tom")
    file.write_text(f"{HEADER}\n{GOOD.replace('120', '121')}\n{GOOD.replace('hall-1', 'hall-2')}")
    assert run("import_calendar", str(file)) == {"created": 1, "updated": 1, "unchanged": 0}
    hall = Wedding.objects.get(slug="hall-1")
    assert (hall.names, hall.invited_guests) == ("Ana & Tom", 121)
    assert set(Room.objects.values_list("name", flat=True)) == {"hall-1", "hall-2"}


@pytest.mark.parametrize("moved", [GOOD.replace("06-12", "07-10"), GOOD.replace("New_York", "Denver")], ids=["day", "zone"])
def test_a_wedding_that_is_moved_says_that_its_run_sheet_stays(tmp_path: Path, moved: str) -> None:
    file = tmp_path / "calendar.csv"
    file.write_text(f"{HEADER}\n{GOOD}")
    run("import_calendar", str(file))
    start = datetime(2027, 6, 12, 18, tzinfo=UTC)
    RunSheetItem.objects.create(wedding=Wedding.objects.get(), title="Doors", start=start, minutes=5)
    assert run("import_calendar", str(file)) == {"created": 0, "updated": 0, "unchanged": 1}
    file.write_text(f"{HEADER}\n{moved}")
    out = io.StringIO()
    call_command("import_calendar", str(file), "--dry-run", stdout=out)
    assert "its run sheet of 1 item stays where it is: import it again" in out.getvalue()
    out = io.StringIO()
    call_command("import_calendar", str(file), stdout=out)
    assert "1 updated" in out.getvalue() and "import them again: hall-1." in out.getvalue()


def test_a_database_that_refuses_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise OperationalError("database is locked")

    file = tmp_path / "calendar.csv"
    file.write_text(f"{HEADER}\n{GOOD}")
    monkeypatch.setattr("wedsync.weddings.management.commands.import_calendar.store", locked)
    with pytest.raises(CommandError, match="database is locked.*Nothing was changed"):
        run("import_calendar", str(file))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        assert read(decode(raw))
    except Unreadable as error:
        assert error.mistakes and all(mistake.reason for mistake in error.mistakes)
