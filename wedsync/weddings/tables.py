"""Tables as people's spreadsheets write them: byte order marks, Windows encodings, semicolons, times with AM and PM."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

BYTES_MAX = 2_000_000
"""Twenty thousand weddings; what is longer gets a sentence, as far as a form may be (`DATA_UPLOAD_MAX_MEMORY_SIZE`)."""
DELIMITERS = ",;\t"
YEARS = range(2000, 2100)
"""Of dates that are meant; 0207 and 20277 are slips of the hand."""
_CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2})(?:[:.]00)?)?\s*([ap])\.?\s?m\.?|(\d{1,2})[:.](\d{2})(?:[:.]00)?", re.IGNORECASE)
_DATED = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})[ T]+(.+?)(?:\s*([+-]\d{2}:\d{2}))?", re.IGNORECASE)
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


# Also after apostrophes: what was written like that must come back like that.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where and why a file cannot be read. Lines count from 1, the header included."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.reason}"


class Unreadable(ValueError):
    """The file has mistakes; nothing was stored."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)
        super().__init__("; ".join(map(str, self.mistakes)))


@dataclass(frozen=True, slots=True)
class Table:
    """(line, {column: cell}) of each row that is not empty, and whether all of the file could be read."""

    rows: list[tuple[int, dict[str, str]]]
    whole: bool


def decode(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without mark, UTF-16 with one, else Windows-1252. Raises Unreadable for no text."""
    if len(raw) > BYTES_MAX:
        raise Unreadable([Mistake(1, "file", f"more than {BYTES_MAX:,} bytes; please import it in parts")])
    try:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = raw.decode("utf-16")
        else:
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = raw.decode("cp1252")
    except UnicodeDecodeError:
        raise Unreadable([Mistake(1, "file", "this is no text; export the table as CSV")]) from None
    if "\0" in text or text.startswith("PK\x03\x04"):
        raise Unreadable([Mistake(1, "file", "this is no text; export the table as CSV")])
    return text


def lines(text: str, columns: Sequence[str], mistakes: list[Mistake], *, rows_max: int, optional: Sequence[str] = ()) -> Table:
    """The rows of a table; cells without spaces around, "" for an `optional` column that is not there.

    A row is named by its first line. The delimiter is the one that the header has most of, or that Excel's `sep=` names; names
    of columns may differ in case, columns that are not known are left out. Raises Unreadable when a column is missing.
    """
    text = text.removeprefix("\ufeff")
    header = text.partition("\n")[0]
    named = _SEPARATOR.fullmatch(header)
    delimiter = named[1] if named else max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[tuple[int, dict[str, str]]] = []
    line = 1
    try:
        if named:
            next(reader)
        line = reader.line_num + 1
        names = [name.strip().lower() for name in next(reader, [])]
        _check_header(line, names, columns, optional)
        line = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):  # spreadsheets leave empty rows at the end
                if len(found) == rows_max:
                    mistakes.append(
                        Mistake(line, columns[0], f"there are more than {rows_max:,} rows; please import them in parts")
                    )
                    return Table(found, whole=False)
                if any(cell.strip() for cell in row[len(names) :]):
                    mistakes.append(Mistake(line, columns[-1], "there are more cells than columns"))
                cells = dict(zip(names, row, strict=False))
                found.append((line, {name: _cell(cells.get(name, "")) for name in (*columns, *optional)}))
            line = reader.line_num + 1
    except csv.Error as error:
        never_closed = "a quotation mark opens here and is never closed"
        mistakes.append(Mistake(line, columns[0], never_closed if "end of data" in str(error) else f"this is no CSV: {error}"))
        return Table(found, whole=False)
    return Table(found, whole=True)


def _check_header(line: int, names: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> None:
    """Raises Unreadable for columns that are missing or stand there twice, and for slips in the name of an optional one."""
    mistakes = [Mistake(line, column, "this column is missing") for column in columns if column not in names]
    known = (*columns, *optional)
    mistakes += [Mistake(line, column, "this column stands there twice") for column in known if names.count(column) > 1]
    for name in names:
        meant_one = [] if name in known else get_close_matches(name, optional, n=1, cutoff=0.8)
        mistakes += [Mistake(line, name[:40], f"there is no such column; is {column!r} meant?") for column in meant_one]
    if mistakes:
        raise Unreadable(mistakes)


def _cell(raw: str) -> str:
    """What is meant by a cell; line ends as one sign, whatever the file, the browser or the spreadsheet made of them."""
    return meant(raw.replace("\r\n", "\n").replace("\r", "\n").strip())


def harmless(cell: str) -> str:
    """The cell as a spreadsheet shows it, never calculates it (OWASP, CSV injection): an apostrophe in front makes it text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def meant(cell: str) -> str:
    """The cell without the apostrophe of `harmless`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def wall_time(cell: str) -> time:
    """A time of day: 14:30, 14.30, 9:05, 2:30 PM, 2:30:00 PM, 2pm. Raises ValueError for anything else."""
    match = _CLOCK.fullmatch(cell.strip())
    if match is None:
        raise ValueError(cell)
    twelve, minute, half, hour, minutes = match.groups()
    if half is None:
        return time(int(hour), int(minutes))
    if not 1 <= int(twelve) <= 12:
        raise ValueError(cell)
    return time(int(twelve) % 12 + (12 if half.lower() == "p" else 0), int(minute or 0))


def to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """A wall clock time at the venue as UTC. Of a time that exists twice the first is meant, the second with `fold=1`.

    Raises ValueError for a time that the change to summer time leaves out.
    """
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) != local.replace(fold=0):
        raise ValueError(f"{local:%H:%M} does not exist on {local:%Y-%m-%d} in {zone.key}: the clocks go forward")
    return moment


@dataclass(frozen=True, slots=True)
class LocalTime:
    """What a cell says: a wall clock time, whether with its date, and the offset that tells two equal times apart."""

    at: datetime
    dated: bool = False
    offset: str = ""


def local_time(cell: str, day: date | None = None) -> LocalTime:
    """Of `2027-06-12 14:30`, `2027-10-31 01:30+00:00`, and of `14:30` on `day`. Raises ValueError, without a sentence."""
    dated = _DATED.fullmatch(cell)
    if dated is None and day is not None:
        return LocalTime(datetime.combine(day, wall_time(cell)))
    if dated is None or (on := date(*map(int, dated[1].split("-")))).year not in YEARS:
        raise ValueError(cell)
    return LocalTime(datetime.combine(on, wall_time(dated[2])), True, dated[3] or "")


def at_venue(local: LocalTime, zone: ZoneInfo) -> datetime:
    """The time as UTC. Raises ValueError with a sentence when the clocks at the venue never show it."""
    if not local.offset:
        return to_utc(local.at, zone)
    for fold in (0, 1):
        moment = to_utc(local.at.replace(fold=fold), zone)
        if moment.astimezone(zone).isoformat().endswith(local.offset):
            return moment
    raise ValueError(f"clocks in {zone.key} are not at {local.offset} then")


def wall_clock(moment: datetime, zone: ZoneInfo) -> str:
    """What `local_time` reads back: `2027-06-12 14:30`, with the offset for the second of two equal times."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M}" + (local.isoformat()[-6:] if local.fold else "")


def is_zone(name: str) -> bool:
    """Whether this is a time zone of the IANA database; not `localtime`, which is another one on each machine."""
    return name in _zones() and name not in ("localtime", "Factory", "posixrules")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # walks through hundreds of files


def listed(cell: str) -> tuple[str, ...]:
    """The entries of a cell that holds several."""
    return tuple(dict.fromkeys(part.strip() for part in cell.split(";") if part.strip()))


def number(cell: str, low: int, high: int) -> int:
    """A whole number in its range. Raises ValueError with a sentence."""
    if not cell.isdecimal() or len(cell) > 7 or not low <= int(cell) <= high:
        raise ValueError(f"{cell[:40]!r} is not a number from {low:,} to {high:,}")
    return int(cell)
