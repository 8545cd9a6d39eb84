"""Reads run sheets from CSV: every mistake is named with its line and column, and nothing is stored unless there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.db import transaction

from realtime.models import Room
from realtime.publish import publish
from wedsync.weddings.models import (
    AROUND,
    ITEMS_MAX,
    MINUTES_MAX,
    WHO_MAX,
    RunSheetItem,
    Wedding,
    minutes_min,
    tellable,
    waits_for_itself,
)
from wedsync.weddings.tables import LocalTime, Mistake, Table, Unreadable, at_venue, lines, listed, local_time, number

COLUMNS = ("start", "minutes", "title", "where", "who", "kind", "depends_on", "notes")
OPTIONAL = ("visibility",)
KINDS = tuple(RunSheetItem.Kind.values)
VISIBILITIES = tuple(RunSheetItem.Visibility.values)
NOON, MORNING = 12, 6
"""Hours: a time before the morning below one from noon on is in the night after the wedding day."""
LENGTHS = {"title": 160, "where": 160, "who": WHO_MAX, "notes": 500}
"""Characters that fit (`RunSheetItem`)."""
FIELDS = ("start", "minutes", "where", "who", "kind", "depends_on", "notes", "planned")
"""Of an item, what a run sheet may change, and that this is its plan now; status and version belong to the day."""


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
    visibility: str = ""
    """"": as it is; what is new is for everyone, a buffer for the crew."""


def read(text: str, day: date, zone: ZoneInfo) -> list[Row]:
    """The rows of a run sheet for a wedding on `day`. Raises Unreadable with all its mistakes."""
    mistakes: list[Mistake] = []
    table = lines(text, COLUMNS, mistakes, rows_max=ITEMS_MAX, optional=OPTIONAL)
    starts = _starts(table, day, mistakes)
    rows = [_row(line, cells, starts.get(line), zone, mistakes) for line, cells in table.rows]
    if table.whole:  # else the missing ones may be in the part that was not read
        mistakes += _dependency_mistakes(table.rows)
    far = [row.line for row in rows if row is not None and abs(row.start.astimezone(zone).date() - day) > AROUND]
    mistakes += [Mistake(line, "start", f"not within {AROUND.days} days of the wedding on {day}") for line in far]
    if not table.rows and not mistakes:
        mistakes.append(Mistake(1, "start", "there are no items"))
    if mistakes:
        raise Unreadable(mistakes)
    return [row for row in rows if row is not None]


def _starts(table: Table, day: date, mistakes: list[Mistake]) -> dict[int, LocalTime]:
    """{line: start}: on the wedding's day, in the night after it, or on the date that stands there."""
    starts = {}
    afternoon = False
    for line, cells in table.rows:
        cell = cells["start"]
        try:
            local = local_time(cell, day)
        except ValueError:
            mistakes.append(Mistake(line, "start", f"{cell[:40]!r} is not a time such as 14:30 or 2027-06-12 14:30"))
            continue
        if not local.dated and afternoon and local.at.hour < MORNING:
            local = LocalTime(local.at + timedelta(days=1))
        afternoon |= not local.dated and local.at.hour >= NOON
        starts[line] = local
    return starts


def _row(line: int, cells: Mapping[str, str], start: LocalTime | None, zone: ZoneInfo, mistakes: list[Mistake]) -> Row | None:
    """The line, checked; None when it has a mistake. `start` is None when that was one."""
    before = len(mistakes)
    at, minutes = None, 0
    kind, visibility = cells["kind"].lower(), cells["visibility"].lower()
    try:
        at = at_venue(start, zone) if start else None
    except ValueError as error:
        mistakes.append(Mistake(line, "start", str(error)))
    try:
        minutes = number(cells["minutes"], minutes_min(kind), MINUTES_MAX)
    except ValueError as error:
        mistakes.append(Mistake(line, "minutes", str(error)))
    if at is not None and not tellable(at, minutes):
        mistakes.append(Mistake(line, "start", "this cannot be shown in every time zone"))
    if not cells["title"]:
        mistakes.append(Mistake(line, "title", "a title is needed"))
    for column, length in LENGTHS.items():
        if len(cells[column]) > length:
            mistakes.append(Mistake(line, column, f"{len(cells[column])} characters; there is room for {length}"))
    if kind not in KINDS:
        mistakes.append(Mistake(line, "kind", f"{cells['kind'][:40]!r} is not one of {', '.join(KINDS)}"))
    if visibility and visibility not in VISIBILITIES:
        mistakes.append(Mistake(line, "visibility", f"{visibility[:40]!r} is not one of {', '.join(VISIBILITIES)}"))
    if len(mistakes) > before or at is None:
        return None
    who, depends_on = listed(cells["who"]), listed(cells["depends_on"])
    return Row(line, at, minutes, cells["title"], cells["where"], who, kind, depends_on, cells["notes"], visibility)


def _dependency_mistakes(lines: Sequence[tuple[int, Mapping[str, str]]]) -> list[Mistake]:
    """Also of lines that are wrong in other columns, so that one mistake is not reported as two."""
    mistakes = []
    count = Counter(cells["title"] for _, cells in lines)
    parents = {cells["title"]: listed(cells["depends_on"]) for _, cells in lines}
    for line, cells in lines:
        for parent in listed(cells["depends_on"]):
            if not count[parent]:
                mistakes.append(Mistake(line, "depends_on", f"there is no item {parent[:60]!r}"))
            elif count[parent] > 1:
                mistakes.append(Mistake(line, "depends_on", f"{parent[:60]!r} stands here more than once"))
        if waits_for_itself(cells["title"], parents):
            mistakes.append(Mistake(line, "depends_on", f"{cells['title'][:60]!r} waits for itself in a circle"))
    return mistakes


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run sheet changed: ids of items that are new or different, and of those that are gone."""

    changed: tuple[int, ...]
    removed: tuple[int, ...]


def load(wedding: Wedding, rows: Sequence[Row], visibility: Mapping[str, str] | None = None) -> Loaded:
    """Make `rows` the wedding's run sheet, in one transaction. The same rows once more change nothing.

    Items keep their id, status and visibility: they are known by title, of equal titles the first is the first again. One that
    other people may see from now on is a new item, with the status of the old one: nobody can unsee the old one.
    `visibility`: {title: level}, for rows that say nothing of it themselves.
    """
    with transaction.atomic():
        hold(wedding)
        known = dict(by_title(list(wedding.items.order_by("start", "id"))))
        was = {key: _content(item) for key, item in known.items()}
        keyed = list(by_title(rows))
        items = {key: _item(wedding, known, key, row, (visibility or {}).get(row.title, "")) for key, row in keyed}
        for key, row in keyed:
            _fill(items[key], row)
        new = [item for item in items.values() if item.pk is None]
        RunSheetItem.objects.bulk_create(new)
        for key, row in keyed:
            items[key].depends_on = [items[title, 0].pk for title in row.depends_on]
        different = [item for key, item in items.items() if item is known.get(key) and _content(item) != was[key]]
        for item in different:
            item.version += 1
        RunSheetItem.objects.bulk_update([*different, *new], [*FIELDS, "version"])
        gone = [item for key, item in known.items() if items.get(key) is not item]
        removed: dict[str, list[int]] = {}
        for item in gone:
            removed.setdefault(item.visibility, []).append(item.pk)
        loaded = Loaded(tuple(sorted(item.pk for item in [*different, *new])), tuple(sorted(item.pk for item in gone)))
        RunSheetItem.objects.filter(pk__in=loaded.removed).delete()
        if loaded.changed or loaded.removed:  # in this transaction: people see the new sheet when it has committed
            publish(wedding.slug, "timeline.sheet", {"removed": removed})
    return loaded


def hold(wedding: Wedding) -> None:
    """Inside a transaction: nobody changes the run sheet until its end. As the writer does before a command."""
    Room.objects.select_for_update(no_key=True).get(name=wedding.slug)


def forget(slug: str, gone: set[int]) -> None:
    """Nothing waits any more for items that are `gone`; what did is a new version."""
    waited = [item for item in RunSheetItem.objects.filter(wedding__slug=slug) if not gone.isdisjoint(item.depends_on)]
    for item in waited:
        item.depends_on = [n for n in item.depends_on if n not in gone]
        item.version += 1
    RunSheetItem.objects.bulk_update(waited, ["depends_on", "version"])


def wanted_visibility(row: Row, named: str = "") -> str:
    """Who is to see a new item: as the row says, else as `named`, else everyone; nobody but the crew needs buffers."""
    return row.visibility or named or ("crew" if row.kind == "buffer" else "everyone")


def _item(
    wedding: Wedding, known: Mapping[tuple[str, int], RunSheetItem], key: tuple[str, int], row: Row, named: str
) -> RunSheetItem:
    old = known.get(key)
    wanted = row.visibility or named
    if old is not None and wanted in ("", old.visibility):
        return old
    status = {} if old is None else {"status": old.status}
    return RunSheetItem(wedding=wedding, title=row.title, visibility=wanted_visibility(row, named), **status)


_Titled = TypeVar("_Titled", Row, RunSheetItem)


def by_title(lines: Sequence[_Titled]) -> Iterator[tuple[tuple[str, int], _Titled]]:
    """Each with its title and how many of the same title stand before it."""
    seen: Counter[str] = Counter()
    for line in sorted(lines, key=lambda line: line.start):
        yield (line.title, seen[line.title]), line
        seen[line.title] += 1


def _content(item: RunSheetItem) -> tuple[object, ...]:
    return tuple(list(value) if isinstance(value, list) else value for value in (getattr(item, name) for name in FIELDS))


def _fill(item: RunSheetItem, row: Row) -> None:
    item.start, item.minutes, item.where, item.who = row.start, row.minutes, row.where, list(row.who)
    if item.planned != item.start:
        item.planned = None
    item.kind, item.notes = row.kind, row.notes
