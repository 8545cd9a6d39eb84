"""What an import would change, without changing it. The same rules as `runsheets.load` and `calendars.store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wedsync.weddings import calendars, runsheets
from wedsync.weddings.models import Wedding


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a preview. `details`: what differs, in words, old and new."""

    what: Literal["new", "changed", "removed"]
    title: str
    details: str = ""


def runsheet_changes(wedding: Wedding, rows: Sequence[runsheets.Row]) -> list[Change]:
    """What `runsheets.load` would do to the items of `wedding`, in the order of the new sheet; what goes comes last."""
    items = list(wedding.items.order_by("start", "id"))
    titles = {item.pk: item.title for item in items}
    known = dict(runsheets.by_title(items))
    changes = []
    for key, row in runsheets.by_title(rows):
        item = known.pop(key, None)
        start = f"{row.start.astimezone(wedding.zone):%a %H:%M}"
        if item is None:
            changes.append(Change("new", row.title, f"{start}, {row.minutes} min, {row.kind}"))
            continue
        before = {
            "start": f"{item.start.astimezone(wedding.zone):%a %H:%M}",
            "minutes": str(item.minutes),
            "where": item.where,
            "who": ", ".join(item.who),
            "kind": item.kind,
            "after": ", ".join(titles.get(pk, "?") for pk in item.depends_on),
            "notes": item.notes,
        }
        after = dict(
            zip(
                before,
                (start, str(row.minutes), row.where, ", ".join(row.who), row.kind, ", ".join(row.depends_on), row.notes),
                strict=True,
            )
        )
        if item.start != row.start or before != after:
            changes.append(Change("changed", row.title, _differences(before, after)))
    return changes + [Change("removed", item.title) for item in known.values()]


def calendar_changes(rows: Sequence[calendars.Row]) -> list[Change]:
    """What `calendars.store` would do, in the order of the file. It removes nothing."""
    known = Wedding.objects.in_bulk([row.slug for row in rows], field_name="slug")
    changes = []
    for row in rows:
        wedding = known.get(row.slug)
        facts = {"venue": row.venue, "timezone": row.timezone, "ceremony_at": row.ceremony_at} | row.counts
        if wedding is None:
            changes.append(Change("new", row.slug, f"{row.venue}, {row.ceremony_at:%d %b %Y %H:%M} UTC, {row.timezone}"))
            continue
        before = {name: str(getattr(wedding, name)) for name in facts}
        after = {name: str(value) for name, value in facts.items()}
        if any(getattr(wedding, name) != value for name, value in facts.items()):
            changes.append(Change("changed", row.slug, _differences(before, after)))
    return changes


def _differences(before: dict[str, str], after: dict[str, str]) -> str:
    pairs = [(name, old, after[name]) for name, old in before.items() if old != after[name]]
    return "; ".join(f"{name}: {old or 'nothing'} → {new or 'nothing'}" for name, old, new in pairs)
