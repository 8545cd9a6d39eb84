"""Reads run sheets from CSV: every mistake is named with its line and column, and nothing is stored unless there is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from django.db import transaction

from wedsync.weddings.models import RunSheetItem, Wedding

COLUMNS = ("start", "minutes", "title", "where", "who", "kind", "depends_on", "notes")
KINDS = tuple(RunSheetItem.Kind.values)
MINUTES_MAX = 2 * 24 * 60


@dataclass(frozen=True, slots=True)
class Row:
    """One line, checked. `depends_on` are titles."""

    line: int
    start: datetime
    minutes: int
    title: str
    where: str
    who: tuple[str, ...]
    kind: str
    depends_on: tuple[str, ...]
    notes: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where and why a file cannot be read. Lines count from 1, the header included."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.reason}"


class Unreadable(ValueError):
    """The run sheet has mistakes; nothing was stored."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(map(str, mistakes)))


def to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """A wall clock time at the venue as UTC. Of a time that exists twice the first is meant.

    Raises ValueError for a time that the change to summer time leaves out.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        raise ValueError(f"{local:%H:%M} does not exist on {local:%Y-%m-%d} in {zone.key}: the clocks go forward")
    return moment


def read(text: str, day: date, zone: ZoneInfo) -> list[Row]:
    """The rows of a run sheet for a wedding on `day`. Raises Unreadable with all its mistakes."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise Unreadable([Mistake(1, column, "this column is missing") for column in missing])
    mistakes: list[Mistake] = []
    rows = [row for raw in reader if (row := _row(raw, reader.line_num, day, zone, mistakes)) is not None]
    mistakes += _dependency_mistakes(rows)
    if not rows and not mistakes:
        mistakes.append(Mistake(1, "start", "there are no items"))
    if mistakes:
        raise Unreadable(sorted(mistakes, key=lambda mistake: mistake.line))
    return rows


def _row(raw: dict[str, str], line: int, day: date, zone: ZoneInfo, mistakes: list[Mistake]) -> Row | None:
    cells = {column: (raw.get(column) or "").strip() for column in COLUMNS}
    before = len(mistakes)
    if None in raw:
        mistakes.append(Mistake(line, "notes", "there are more cells than columns"))
    start = _start(cells["start"], day, zone, line, mistakes)
    if not cells["minutes"].isdecimal() or not 0 < int(cells["minutes"]) <= MINUTES_MAX:
        mistakes.append(Mistake(line, "minutes", f"{cells['minutes']!r} is not a number of minutes from 1 to {MINUTES_MAX}"))
    if not 0 < len(cells["title"]) <= 160:
        mistakes.append(Mistake(line, "title", "a title of 1 to 160 characters is needed"))
    if cells["kind"] not in KINDS:
        mistakes.append(Mistake(line, "kind", f"{cells['kind']!r} is not one of {', '.join(KINDS)}"))
    if len(mistakes) > before or start is None:
        return None
    who, depends_on = _list(cells["who"]), _list(cells["depends_on"])
    return Row(
        line, start, int(cells["minutes"]), cells["title"], cells["where"], who, cells["kind"], depends_on, cells["notes"]
    )


def _list(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _start(cell: str, day: date, zone: ZoneInfo, line: int, mistakes: list[Mistake]) -> datetime | None:
    """`HH:MM` on the wedding's day, or `YYYY-MM-DD HH:MM`."""
    try:
        if " " in cell:
            local = datetime.strptime(cell, "%Y-%m-%d %H:%M")
        else:
            local = datetime.combine(day, time.fromisoformat(cell if len(cell) == 5 else "?"))
    except ValueError:
        mistakes.append(Mistake(line, "start", f"{cell!r} is not a time such as 14:30 or 2027-06-12 14:30"))
        return None
    try:
        return to_utc(local, zone)
    except ValueError as error:
        mistakes.append(Mistake(line, "start", str(error)))
        return None


def _dependency_mistakes(rows: list[Row]) -> list[Mistake]:
    mistakes = []
    titles = [row.title for row in rows]
    parents = {row.title: row.depends_on for row in rows}
    for row in rows:
        for parent in row.depends_on:
            if parent not in parents:
                mistakes.append(Mistake(row.line, "depends_on", f"there is no item {parent!r}"))
            elif titles.count(parent) > 1:
                mistakes.append(Mistake(row.line, "depends_on", f"{parent!r} stands here more than once"))
        if _waits_for_itself(row.title, parents):
            mistakes.append(Mistake(row.line, "depends_on", f"{row.title!r} waits for itself in a circle"))
    return mistakes


def _waits_for_itself(title: str, parents: dict[str, tuple[str, ...]]) -> bool:
    waiting, seen = list(parents[title]), set()
    while waiting:
        parent = waiting.pop()
        if parent == title:
            return True
        if parent not in seen:
            seen.add(parent)
            waiting.extend(parents.get(parent, ()))
    return False


def load(wedding: Wedding, rows: Sequence[Row], visibility: dict[str, str] | None = None) -> None:
    """Make `rows` the wedding's run sheet, replacing what was there, in one transaction. `visibility`: {title: level}."""
    with transaction.atomic():
        wedding.items.all().delete()
        ordered = [_item(wedding, row, visibility or {}) for row in rows]
        RunSheetItem.objects.bulk_create(ordered)
        items = {item.title: item for item in ordered}
        for row, item in zip(rows, ordered, strict=True):
            item.depends_on = [items[title].pk for title in row.depends_on]
        RunSheetItem.objects.bulk_update(ordered, ["depends_on"])


def _item(wedding: Wedding, row: Row, visibility: dict[str, str]) -> RunSheetItem:
    return RunSheetItem(
        wedding=wedding,
        title=row.title,
        start=row.start,
        minutes=row.minutes,
        where=row.where,
        who=list(row.who),
        kind=row.kind,
        notes=row.notes,
        visibility=visibility.get(row.title, RunSheetItem.Visibility.EVERYONE),
    )
