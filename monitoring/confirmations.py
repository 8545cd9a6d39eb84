"""Reads from the journal who has confirmed the emergencies of the weddings that are going on, and reminds the others."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction

from monitoring.alerts import Labels
from monitoring.escalation import Emergency, Overdue, Person, overdue, reminder
from monitoring.signals import of
from realtime.models import JournalEntry
from realtime.publish import publish
from wedsync.weddings.models import Member

LOOK_BACK = timedelta(hours=1)
"""An emergency that nobody ended within an hour has been dealt with by telephone."""
CREW = ("planner", "vendor")
"""Who must confirm: guests are led by them, and the couple may be at the altar."""


def check(weddings: Collection[str], now: datetime) -> tuple[dict[Labels, float | None], dict[Labels, str]]:
    """({wedding: seconds that its oldest emergency has not been confirmed by all of the crew}, {wedding: by whom not}).

    Reminders that are due are published on the way. Raises DatabaseError when the journal cannot be read.
    """
    ages: dict[Labels, float | None] = {}
    names: dict[Labels, str] = {}
    for late in _overdue(_emergencies(weddings, now), now):
        labels = of("wedding", late.emergency.wedding)
        if late.age_s >= (ages.get(labels) or 0.0):
            ages[labels], names[labels] = late.age_s, f"not confirmed by {late.who}"
        if (say := reminder(late)) is not None:
            with transaction.atomic():  # to the outbox: whichever worker is alive publishes it, once
                publish(say.wedding, "chat.crew", {"text": say.text}, id=say.id)
    return ages, names


def _emergencies(weddings: Collection[str], now: datetime) -> list[Emergency]:
    rows = JournalEntry.objects.filter(room__name__in=weddings, kind="emergency.alert", at__gte=now - LOOK_BACK)
    latest: dict[tuple[str, str], Emergency | None] = {}
    for row in rows.select_related("room").order_by("offset"):
        data = json.loads(row.data)
        wedding, alert = row.room.name, data["alert"]
        found = Emergency(wedding, alert, row.offset, data["text"], row.member, row.at.timestamp())
        latest[wedding, alert] = found if data.get("state", "active") == "active" else None
    return [emergency for emergency in latest.values() if emergency is not None]


def _overdue(emergencies: list[Emergency], now: datetime) -> list[Overdue]:
    if not emergencies:
        return []
    weddings = {emergency.wedding for emergency in emergencies}
    crew: dict[str, list[Person]] = {name: [] for name in weddings}
    for member in Member.objects.filter(wedding__slug__in=weddings, role__in=CREW, revoked=False).select_related("wedding"):
        crew[member.wedding.slug].append(Person(member.public_id, member.name))
    seen: dict[tuple[str, str], set[str]] = {}
    for row in JournalEntry.objects.filter(room__name__in=weddings, kind="seen", at__gte=now - LOOK_BACK).select_related(
        "room"
    ):
        about = json.loads(row.data)["about"]
        seen.setdefault((row.room.name, about), set()).add(row.member)
    found = (
        overdue(e, crew[e.wedding], seen.get((e.wedding, f"emergency {e.alert}"), set()), now.timestamp()) for e in emergencies
    )
    return [late for late in found if late is not None]
