"""Reads a calendar of weddings from CSV: all of it or nothing, and twice is the same as once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from realtime.fence import PREFIX, fenced
from realtime.models import Room
from realtime.roles import OPS
from wedsync.weddings.models import Wedding
from wedsync.weddings.tables import Mistake, Unreadable, at_venue, is_zone, lines, local_time, number

COLUMNS = (
    "slug", "venue", "timezone", "ceremony_local", "invited_guests", "vendors", "planners", "expected_connections",
)  # fmt: skip
ROWS_MAX = 20_000
BATCH = 500
"""Rows of one SQL statement, and of one step of the progress bar."""
SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SLUG_MAX, VENUE_MAX = 80, 160
RANGES = {"invited_guests": 5_000, "vendors": 500, "planners": 100, "expected_connections": 20_000}


@dataclass(frozen=True, slots=True)
class Row:
    """One wedding, checked."""

    slug: str
    venue: str
    timezone: str
    ceremony_at: datetime
    counts: dict[str, int]


def read(text: str) -> list[Row]:
    """The weddings of a calendar. Raises Unreadable with all its mistakes."""
    mistakes: list[Mistake] = []
    table = lines(text, COLUMNS, mistakes, rows_max=ROWS_MAX)
    found = table.rows
    rows = [_row(line, cells, mistakes) for line, cells in found]
    first: dict[str, int] = {}
    for line, cells in found:
        if cells["slug"] in first:
            mistakes.append(Mistake(line, "slug", f"{cells['slug'][:40]!r} stands in line {first[cells['slug']]} already"))
        first.setdefault(cells["slug"], line)
    if not found and not mistakes:
        mistakes.append(Mistake(1, "slug", "there are no weddings"))
    if mistakes:
        raise Unreadable(mistakes)
    return [row for row in rows if row is not None]


def _row(line: int, cells: Mapping[str, str], mistakes: list[Mistake]) -> Row | None:
    before = len(mistakes)
    if not SLUG.fullmatch(cells["slug"]) or len(cells["slug"]) > SLUG_MAX:
        mistakes.append(Mistake(line, "slug", f"{cells['slug'][:40]!r}: small letters, digits and single hyphens are needed"))
    elif fenced(cells["slug"]):
        mistakes.append(Mistake(line, "slug", f"{cells['slug'][:40]!r}: names that begin with {PREFIX} are kept for drills"))
    elif cells["slug"] == OPS:
        mistakes.append(Mistake(line, "slug", f"{OPS!r} is the operators' own room; please choose another name"))
    if not 0 < len(cells["venue"]) <= VENUE_MAX:
        mistakes.append(Mistake(line, "venue", f"a name of 1 to {VENUE_MAX} characters is needed"))
    counts = {}
    for column, high in RANGES.items():
        try:
            counts[column] = number(cells[column], 0, high)
        except ValueError as error:
            mistakes.append(Mistake(line, column, str(error)))
    ceremony_at = _ceremony(line, cells, mistakes)
    if len(mistakes) > before or ceremony_at is None:
        return None
    return Row(cells["slug"], cells["venue"], cells["timezone"], ceremony_at, counts)


def _ceremony(line: int, cells: Mapping[str, str], mistakes: list[Mistake]) -> datetime | None:
    zone, cell = cells["timezone"], cells["ceremony_local"]
    if not is_zone(zone):
        mistakes.append(Mistake(line, "timezone", f"{zone[:40]!r} is not a time zone such as America/New_York"))
    try:
        local = local_time(cell)
    except ValueError:
        mistakes.append(Mistake(line, "ceremony_local", f"{cell[:40]!r} is not a moment such as 2027-06-12T14:30"))
        return None
    try:
        return at_venue(local, ZoneInfo(zone)) if is_zone(zone) else None
    except ValueError as error:
        mistakes.append(Mistake(line, "ceremony_local", str(error)))
        return None


def facts(row: Row) -> dict[str, object]:
    """What the calendar says of a wedding, by the name of the field."""
    return {"venue": row.venue, "timezone": row.timezone, "ceremony_at": row.ceremony_at} | row.counts


def store(rows: Sequence[Row], progress: Callable[[float], None] = lambda share: None) -> dict[str, int]:
    """Create or update the weddings, in one transaction. Returns {"created": n, "updated": n, "unchanged": n}.

    What a person has entered since (names, members, run sheet) stays; what the calendar says is taken from it. `progress` is
    told the share that is done.
    """
    with transaction.atomic():
        known = Wedding.objects.in_bulk([row.slug for row in rows], field_name="slug")
        new = [
            Wedding(slug=row.slug, names=f"Wedding at {row.venue}"[:160], **facts(row)) for row in rows if row.slug not in known
        ]
        different = [row for row in rows if row.slug in known and differs(known[row.slug], row)]
        for row in different:
            for name, value in facts(row).items():
                setattr(known[row.slug], name, value)
        done, todo = 0, max(1, len(new) + len(different))
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            Wedding.objects.bulk_create(batch)
            Room.objects.bulk_create([Room(name=wedding.slug) for wedding in batch], ignore_conflicts=True)
            done += len(batch)
            progress(done / todo)
        for start in range(0, len(different), BATCH):
            changed = [known[row.slug] for row in different[start : start + BATCH]]
            Wedding.objects.bulk_update(changed, ["venue", "timezone", "ceremony_at", *RANGES])
            done += len(changed)
            progress(done / todo)
    return {"created": len(new), "updated": len(different), "unchanged": len(rows) - len(new) - len(different)}


def differs(wedding: Wedding, row: Row) -> bool:
    """Whether the calendar says something else than what is known."""
    return any(getattr(wedding, name) != value for name, value in facts(row).items())
