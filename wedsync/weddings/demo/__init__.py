"""The demo: three weddings on real run sheets, placed at today's date in the venue's time zone."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F

from realtime.models import JournalEntry, OutboxEntry, Room
from wedsync.weddings.models import ApiToken, Member, RunSheetItem, Wedding
from wedsync.weddings.runsheets import Row, load, read
from wedsync.weddings.tables import to_utc

FOLDER = Path(__file__).parent
GUESTS = ("Maya", "Oliver", "Priya", "Jonas", "Chloe")


@dataclass(frozen=True, slots=True)
class DemoWedding:
    """One wedding of the demo. `days`: dates in its run sheet, the last one is the wedding day. `crew`: items for the crew."""

    slug: str
    names: str
    venue: str
    timezone: str
    ceremony: str
    guests: int
    days: tuple[str, ...]
    crew: frozenset[str]


DEMO = (
    DemoWedding(
        "rose-garden",
        "Ana & Tom",
        "Rose Garden House",
        "Europe/London",
        "14:35",
        115,
        (),
        frozenset({"Hair and make-up", "Marquee flowers", "Chairs and arch", "Sound check", "First look", "Buffer", "Strike"}),
    ),
    DemoWedding(
        "harbour-loft",
        "June & Alex",
        "Harbour Loft",
        "America/New_York",
        "17:00",
        90,
        (),
        frozenset({"Loft set-up", "Band load-in", "Sound check", "Couple arrives", "Room flip", "Buffer"}),
    ),
    DemoWedding(
        "two-day-sangeet",
        "Meera & Arjun",
        "Lotus Courtyard",
        "Asia/Kolkata",
        "11:40",
        600,
        ("2027-06-11", "2027-06-12"),
        frozenset({"Baraat assembles"}),
    ),
)
SURPRISE = "Surprise fireworks", "21:30", 10
"""An item of the rose garden that only planners and couple may know of: title, start, minutes."""
NO_VENDORS = ("couple", "planner", "family", "families", "ushers", "groom's family")
"""Who stands in the run sheets without being hired."""


def place(now: datetime) -> dict[str, Any]:
    """Create the demo or move it to today. Returns what people need to get in; passwords only where they are new."""
    with transaction.atomic():
        # As the writer does: all rooms first and in this order, or the two could wait for each other.
        rooms = Room.objects.filter(name__in=[demo.slug for demo in DEMO])
        list(rooms.select_for_update(no_key=True).order_by("id"))
        passwords = _accounts()
        weddings = {demo.slug: _place_one(demo, now) for demo in DEMO}
    return {"passwords": passwords, "weddings": weddings}


def _accounts() -> dict[str, str]:
    """The accounts `planner` and `admin`; {name: password} of those made now."""
    made = {}
    for name, staff in (("planner", False), ("admin", True)):
        users = get_user_model().objects
        if not users.filter(username=name).exists():
            made[name] = secrets.token_urlsafe(9)
            users.create_user(name, password=made[name], is_staff=staff, is_superuser=staff)
    return made


def _place_one(demo: DemoWedding, now: datetime) -> dict[str, Any]:
    zone = ZoneInfo(demo.timezone)
    today = now.astimezone(zone).date()
    ceremony_at = to_utc(datetime.combine(today, time.fromisoformat(demo.ceremony)), zone)
    facts = {"names": demo.names, "venue": demo.venue, "timezone": demo.timezone, "invited_guests": demo.guests, "demo": True}
    wedding, created = Wedding.objects.get_or_create(slug=demo.slug, defaults=facts | {"ceremony_at": ceremony_at})
    if created or wedding.ceremony_at != ceremony_at:
        wedding.ceremony_at = ceremony_at
        wedding.save()
        _fill(demo, wedding, today)
    _people(wedding)
    joins = {f"{m.role}: {m.name}": f"/join/{m.join_key}/" for m in wedding.members.filter(user=None).order_by("id")}
    token = None if wedding.api_tokens.exists() else ApiToken.issue(wedding, "demo")
    return {"names": demo.names, "page": f"/weddings/{demo.slug}/", "joins": joins, "api_token": token}


def _fill(demo: DemoWedding, wedding: Wedding, today: date) -> None:
    """The run sheet of `today`, as if nothing had happened yet."""
    text = (FOLDER / f"{demo.slug}.csv").read_text(encoding="utf-8")
    rows = read(moved(text, demo.days, today), today, wedding.zone)
    visibility = dict.fromkeys(demo.crew, RunSheetItem.Visibility.CREW.value)
    if demo.slug == "rose-garden":
        title, start, minutes = SURPRISE
        at = to_utc(datetime.combine(today, time.fromisoformat(start)), wedding.zone)
        rows.append(Row(0, at, minutes, title, "Lake", ("venue",), "cue", (), ""))
        visibility[title] = RunSheetItem.Visibility.PLANNERS.value
    load(wedding, rows, visibility)
    wedding.items.exclude(status="pending").update(status="pending", version=F("version") + 1)
    # Another day is another story: clients take a snapshot, nobody is replayed yesterday.
    room = Room.objects.select_for_update(no_key=True).get(name=wedding.slug)
    JournalEntry.objects.filter(room=room).delete()
    OutboxEntry.objects.filter(room=room).delete()
    Room.objects.filter(pk=room.pk).update(epoch=uuid.uuid4().hex, last_offset=0, heads={}, floor=0)


def moved(text: str, days: tuple[str, ...], today: date) -> str:
    """`text` with the last of its `days` replaced by `today` and the others by the days before it, all at once."""
    if not days:
        return text
    new = {day: str(today - timedelta(days=back)) for back, day in enumerate(reversed(days))}
    return re.sub("|".join(map(re.escape, days)), lambda found: new[found[0]], text)


def _people(wedding: Wedding) -> None:
    first, second = wedding.names.split(" & ")
    trades = dict.fromkeys(who for item in wedding.items.all() for who in item.who)
    vendors = [trade for trade in trades if trade not in NO_VENDORS]
    planner = get_user_model().objects.get(username="planner")
    Member.objects.get_or_create(wedding=wedding, user=planner, defaults={"name": "Sam the planner", "role": "planner"})
    people = [(first, "couple", ""), (second, "couple", ""), ("Photo wall", "display", "")]
    people += [(trade.capitalize() if trade != "DJ" else trade, "vendor", trade) for trade in vendors]
    people += [(name, "guest", "") for name in GUESTS]
    for name, role, title in people:
        Member.objects.get_or_create(wedding=wedding, user=None, name=name, role=role, defaults={"title": title})
    Wedding.objects.filter(pk=wedding.pk).update(vendors=len(vendors))
