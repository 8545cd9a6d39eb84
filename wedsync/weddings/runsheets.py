"""Reads run sheets from CSV: every mistake is named with its line and column, and nothing is stored unless there is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.db import transaction

from realtime.models import Room
from realtime.publish import publish
from wedsync.weddings.models import RunSheetItem, Wedding
from wedsync.weddings.tables import Mistake, Unreadable, lines, number, to_utc, wall_time

COLUMNS = ("start", "minutes", "title", "where", "who", "kind", "depends_on", "notes")
KINDS = tuple(RunSheetItem.Kind.values)
MINUTES_MAX = 2 * 24 * 60
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})[ T]+(.+)")
LENGTHS = {"title": 160, "where": 160, "notes": 500}
"""Characters that fit (`RunSheetItem`)."""
FIELDS = ("start", "minutes", "where", "who", "kind", "depends_on", "notes", "visibility", "planned")
"""Of an item, what a run sheet says, and that this is its plan now; status and version belong to the day."""


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


def read(text: str, day: date, zone: ZoneInfo) -> list[Row]:
    """The rows of a run sheet for a wedding on `day`. Raises Unreadable with all its mistakes."""
    mistakes: list[Mistake] = []
    found = lines(text, COLUMNS, mistakes)
    rows = [_row(line, cells, day, zone, mistakes) for line, cells in found]
    mistakes += _dependency_mistakes(found)
    if not found and not mistakes:
        mistakes.append(Mistake(1, "start", "there are no items"))
    if mistakes:
        raise Unreadable(mistakes)
    return [row for row in rows if row is not None]


def _row(line: int, cells: Mapping[str, str], day: date, zone: ZoneInfo, mistakes: list[Mistake]) -> Row | None:
    """The line, checked; None when it has a mistake."""
    before = len(mistakes)
    start = _start(cells["start"], day, zone, line, mistakes)
    minutes = 0
    try:
        minutes = number(cells["minutes"], 1, MINUTES_MAX)
    except ValueError as error:
        mistakes.append(Mistake(line, "minutes", str(error)))
    if not cells["title"]:
        mistakes.append(Mistake(line, "title", "a title is needed"))
    for column, length in LENGTHS.items():
        if len(cells[column]) > length:
            mistakes.append(Mistake(line, column, f"{len(cells[column])} characters; there is room for {length}"))
    kind = cells["kind"].lower()
    if kind not in KINDS:
        mistakes.append(Mistake(line, "kind", f"{cells['kind'][:40]!r} is not one of {', '.join(KINDS)}"))
    if len(mistakes) > before or start is None:
        return None
    who, depends_on = _list(cells["who"]), _list(cells["depends_on"])
    return Row(line, start, minutes, cells["title"], cells["where"], who, kind, depends_on, cells["notes"])


def _list(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _start(cell: str, day: date, zone: ZoneInfo, line: int, mistakes: list[Mistake]) -> datetime | None:
    """A time on the wedding's day, or `YYYY-MM-DD` and a time."""
    try:
        dated = _DATED.fullmatch(cell)
        when = date.fromisoformat(dated[1]) if dated else day
        local = datetime.combine(when, wall_time(dated[2] if dated else cell))
    except ValueError:
        mistakes.append(Mistake(line, "start", f"{cell[:40]!r} is not a time such as 14:30 or 2027-06-12 14:30"))
        return None
    try:
        return to_utc(local, zone)
    except ValueError as error:
        mistakes.append(Mistake(line, "start", str(error)))
        return None


def _dependency_mistakes(lines: Sequence[tuple[int, Mapping[str, str]]]) -> list[Mistake]:
    """Also of lines that are wrong in other columns, so that one mistake is not reported as two."""
    mistakes = []
    count = Counter(cells["title"] for _, cells in lines)
    parents = {cells["title"]: _list(cells["depends_on"]) for _, cells in lines}
    for line, cells in lines:
        for parent in _list(cells["depends_on"]):
            if not count[parent]:
                mistakes.append(Mistake(line, "depends_on", f"there is no item {parent!r}"))
            elif count[parent] > 1:
                mistakes.append(Mistake(line, "depends_on", f"{parent!r} stands here more than once"))
        if _waits_for_itself(cells["title"], parents):
            mistakes.append(Mistake(line, "depends_on", f"{cells['title']!r} waits for itself in a circle"))
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run sheet changed: ids of items that are new or different, and of those that are gone."""

    changed: tuple[int, ...]
    removed: tuple[int, ...]


def load(wedding: Wedding, rows: Sequence[Row], visibility: Mapping[str, str] | None = None) -> Loaded:
    """Make `rows` the wedding's run sheet, in one transaction. The same rows once more change nothing.

    Items keep their id, status and visibility: they are known by title, of equal titles the first is the first again.
    `visibility`: {title: level}; what it does not name stays as it is, and what is new is for everyone.
    """
    with transaction.atomic():
        Room.objects.select_for_update(no_key=True).get(name=wedding.slug)  # as the writer does before a command
        known = dict(by_title(list(wedding.items.order_by("start", "id"))))
        was = {key: _content(item) for key, item in known.items()}
        keyed = list(by_title(rows))
        items = {key: known.get(key) or RunSheetItem(wedding=wedding, title=row.title) for key, row in keyed}
        for key, row in keyed:
            _fill(items[key], row, (visibility or {}).get(row.title))
        new = [item for key, item in items.items() if key not in known]
        RunSheetItem.objects.bulk_create(new)
        for key, row in keyed:
            items[key].depends_on = [items[title, 0].pk for title in row.depends_on]
        different = [item for key, item in items.items() if key in known and _content(item) != was[key]]
        for item in different:
            item.version += 1
        RunSheetItem.objects.bulk_update([*different, *new], [*FIELDS, "version"])
        gone = [item for key, item in known.items() if key not in items]
        removed: dict[str, list[int]] = {}
        for item in gone:
            removed.setdefault(item.visibility, []).append(item.pk)
        loaded = Loaded(tuple(sorted(item.pk for item in [*different, *new])), tuple(sorted(item.pk for item in gone)))
        RunSheetItem.objects.filter(pk__in=loaded.removed).delete()
        if loaded.changed or loaded.removed:  # in this transaction: people see the new sheet when it has committed
            publish(wedding.slug, "timeline.sheet", {"removed": removed})
    return loaded


_Titled = TypeVar("_Titled", Row, RunSheetItem)


def by_title(lines: Sequence[_Titled]) -> Iterator[tuple[tuple[str, int], _Titled]]:
    """Each with its title and how many of the same title stand before it."""
    seen: Counter[str] = Counter()
    for line in sorted(lines, key=lambda line: line.start):
        yield (line.title, seen[line.title]), line
        seen[line.title] += 1


def _content(item: RunSheetItem) -> tuple[object, ...]:
    return tuple(list(value) if isinstance(value, list) else value for value in (getattr(item, name) for name in FIELDS))


def _fill(item: RunSheetItem, row: Row, visibility: str | None) -> None:
    item.start, item.minutes, item.where, item.who = row.start, row.minutes, row.where, list(row.who)
    item.planned = None
    item.kind, item.notes = row.kind, row.notes
    item.visibility = visibility or item.visibility
