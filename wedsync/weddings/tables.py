"""Tables as people's spreadsheets write them: byte order marks, Windows encodings, semicolons, times with AM and PM."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

BYTES_MAX = 5_000_000
DELIMITERS = ",;\t"
_CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*([ap])\.?m\.?|(\d{1,2})[:.](\d{2})(?::00)?", re.IGNORECASE)


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


def decode(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without mark, UTF-16 with one, else Windows-1252. Raises Unreadable for no text."""
    if len(raw) > BYTES_MAX:
        raise Unreadable([Mistake(1, "file", f"{len(raw):,} bytes; a table has at most {BYTES_MAX:,}")])
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


def lines(text: str, columns: Sequence[str], mistakes: list[Mistake]) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of each row that is not empty; cells without spaces around. Raises Unreadable without the columns.

    The delimiter is the one that the header has most of; names of columns may differ in case.
    """
    text = text.removeprefix("\ufeff")
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    found: list[tuple[int, dict[str, str]]] = []
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [column for column in columns if column not in reader.fieldnames]
        if missing:
            raise Unreadable([Mistake(1, column, "this column is missing") for column in missing])
        for raw in reader:
            cells = {column: meant((raw.get(column) or "").strip()) for column in columns}
            if None in raw:
                mistakes.append(Mistake(reader.line_num, columns[-1], "there are more cells than columns"))
            if any(cells.values()):  # spreadsheets leave empty rows at the end
                found.append((reader.line_num, cells))
    except csv.Error as error:
        mistakes.append(Mistake(reader.line_num + 1, columns[0], f"this is no CSV: {error}"))
    return found


def harmless(cell: str) -> str:
    """The cell as a spreadsheet shows it, never calculates it (OWASP, CSV injection): an apostrophe in front makes it text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def meant(cell: str) -> str:
    """The cell without the apostrophe of `harmless`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def wall_time(cell: str) -> time:
    """A time of day: 14:30, 14.30, 9:05, 2:30 PM, 2pm. Raises ValueError for anything else."""
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
    """A wall clock time at the venue as UTC. Of a time that exists twice the first is meant.

    Raises ValueError for a time that the change to summer time leaves out.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        raise ValueError(f"{local:%H:%M} does not exist on {local:%Y-%m-%d} in {zone.key}: the clocks go forward")
    return moment


def number(cell: str, low: int, high: int) -> int:
    """A whole number in its range. Raises ValueError with a sentence."""
    if not cell.isdecimal() or len(cell) > 7 or not low <= int(cell) <= high:
        raise ValueError(f"{cell[:40]!r} is not a number from {low:,} to {high:,}")
    return int(cell)
