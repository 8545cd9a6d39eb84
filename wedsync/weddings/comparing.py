"""What an import would change, without changing it. The same rules as `runsheets.load` and `calendars.store`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from django.db.models import Count

from wedsync.weddings import calendars, runsheets
from wedsync.weddings.models import Wedding

NAMED_MAX = 10
What = Literal["new", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a preview. `details`: what differs, in words, old and new."""

    what: What
    title: str
    details: str = ""


def counted(changes: Sequence[Change]) -> dict[str, int]:
    """{what: how many}."""
    return {what: sum(change.what == what for change in changes) for what in get_args(What)}


def fingerprint(changes: Sequence[Change]) -> str:
    """Equal for equal previews: whoever confirms one confirms just that."""
    return hashlib.sha256(repr(list(changes)).encode()).hexdigest()


def runsheet_changes(wedding: Wedding, rows: Sequence[runsheets.Row]) -> list[Change]:
    """What `runsheets.load` would do to the items of `wedding`, in the order of the new sheet; what goes comes last."""
    items = list(wedding.items.order_by("start", "id"))
    titles = {item.pk: item.title for item in items}
    known = dict(runsheets.by_title(items))
    changes = []
    for key, row in runsheets.by_title(rows):
        item = known.pop(key, None)
        start = f"{row.start.astimezone(wedding.zone):%a %d %b %H:%M}"
        if item is None:
            seen_by = runsheets.wanted_visibility(row)
            changes.append(Change("new", row.title, f"{start}, {row.minutes} min, {row.kind}, for {seen_by}"))
            continue
        before = {
            "start": f"{item.start.astimezone(wedding.zone):%a %d %b %H:%M}",
            "minutes": str(item.minutes),
            "where": item.where,
            "who": ", ".join(item.who),
            "kind": item.kind,
            "after": ", ".join(titles.get(pk, "?") for pk in item.depends_on),
            "notes": item.notes,
            "for": item.visibility,
            "planned": start
            if item.planned in (None, row.start)
            else f"{item.planned.astimezone(wedding.zone):%a %d %b %H:%M}",
        }
        said = (start, str(row.minutes), row.where, ", ".join(row.who), row.kind, ", ".join(row.depends_on), row.notes)
        after = dict(zip(before, (*said, row.visibility or item.visibility, start), strict=True))
        if item.start != row.start or before != after:
            changes.append(Change("changed", row.title, _differences(before, after)))
    return changes + [Change("removed", item.title) for item in known.values()]


def calendar_changes(rows: Sequence[calendars.Row]) -> list[Change]:
    """What `calendars.store` would do, in the order of the file. It removes nothing."""
    known = Wedding.objects.in_bulk([row.slug for row in rows], field_name="slug")
    changes, staying = [], left_behind(rows)
    for row in rows:
        wedding = known.get(row.slug)
        if wedding is None:
            changes.append(Change("new", row.slug, f"{row.venue}, {row.ceremony_at:%d %b %Y %H:%M} UTC, {row.timezone}"))
            continue
        if calendars.differs(wedding, row):
            after = {name: str(value) for name, value in calendars.facts(row).items()}
            before = {name: str(getattr(wedding, name)) for name in after}
            details = _differences(before, after)
            if n := staying.get(row.slug):
                details += f"; its run sheet of {n:,} item{'s' if n > 1 else ''} stays where it is: import it again"
            changes.append(Change("changed", row.slug, details))
    return changes


def left_behind(rows: Sequence[calendars.Row]) -> dict[str, int]:
    """{slug: items} of weddings that the calendar moves, to another time or zone: their run sheets stay where they are."""
    rows_of = {row.slug: row for row in rows}
    with_items = Wedding.objects.annotate(n_items=Count("items")).filter(n_items__gt=0)
    return {
        wedding.slug: wedding.n_items
        for wedding in with_items
        if (row := rows_of.get(wedding.slug)) and (wedding.ceremony_at, wedding.timezone) != (row.ceremony_at, row.timezone)
    }


def staying_said(staying: dict[str, int]) -> str:
    """A sentence that names weddings of `left_behind`, "" for none."""
    named, more = ", ".join(list(staying)[:NAMED_MAX]), len(staying) - NAMED_MAX
    also = f" and {more:,} more" if more > 0 else ""
    return f"Run sheets stay where they are, import them again: {named}{also}." if staying else ""


def _differences(before: dict[str, str], after: dict[str, str]) -> str:
    pairs = [(name, old, after[name]) for name, old in before.items() if old != after[name]]
    return "; ".join(f"{name}: {old or 'nothing'} → {new or 'nothing'}" for name, old, new in pairs)
