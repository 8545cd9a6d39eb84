"""What is said next on a demo day. PURE: the run sheet, the people, the time and chance in, one publication out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from realtime.messages import Sender
from wedsync.weddings.models import Member, RunSheetItem

CHAT = ("On my way to the gate.", "Candles are lit.", "We need ten more chairs.", "All quiet here.", "Kitchen is ready.")
GREETINGS = ("What a day!", "Which way to the bar?", "So beautiful.", "Is there parking left?")


@dataclass(frozen=True, slots=True)
class Word:
    """One publication: what and by whom."""

    kind: str
    data: dict[str, Any]
    sender: Sender


def _of(members: Sequence[Member], role: str) -> Sequence[Member]:
    return [member for member in members if member.role == role]


def _sender(member: Member) -> Sender:
    return Sender(member.public_id, member.role, member.name)


def next_word(items: Sequence[RunSheetItem], members: Sequence[Member], now: datetime, rng: random.Random) -> Word:
    """What the clock asks for if something is due, else small talk. Small shifts alternate, so that the day does not drift."""
    planner = _sender(_of(members, "planner")[0])
    for item in items:
        if item.visibility == "planners" or item.kind == "buffer":
            continue
        end = item.start + timedelta(minutes=item.minutes)
        if item.status in ("pending", "in_progress") and end <= now:
            return Word("timeline.event", {"item": item.pk, "status": "completed"}, planner)
        if item.status == "pending" and item.start <= now:
            return Word("timeline.event", {"item": item.pk, "status": "in_progress"}, planner)
    return rng.choice((_chat, _greeting, _vendor, _checkin, _shift))(items, members, now, rng)


def _chat(items: Sequence[RunSheetItem], members: Sequence[Member], now: datetime, rng: random.Random) -> Word:
    return Word("chat.crew", {"text": rng.choice(CHAT)}, _sender(rng.choice(_of(members, "vendor"))))


def _greeting(items: Sequence[RunSheetItem], members: Sequence[Member], now: datetime, rng: random.Random) -> Word:
    return Word("chat.guests", {"text": rng.choice(GREETINGS)}, _sender(rng.choice(_of(members, "guest"))))


def _vendor(items: Sequence[RunSheetItem], members: Sequence[Member], now: datetime, rng: random.Random) -> Word:
    member = rng.choice(_of(members, "vendor"))
    status = rng.choice(("en_route", "checked_in", "on_site"))
    return Word("vendor.status", {"vendor": member.title or member.name, "status": status}, _sender(member))


def _checkin(items: Sequence[RunSheetItem], members: Sequence[Member], now: datetime, rng: random.Random) -> Word:
    guest = rng.choice(_of(members, "guest"))
    return Word("guest.checkin", {"guest": guest.public_id, "name": guest.name, "door": "Main gate"}, _sender(guest))


def _shift(items: Sequence[RunSheetItem], members: Sequence[Member], now: datetime, rng: random.Random) -> Word:
    """Five minutes later, or back again: an item that moved an odd number of times comes back."""
    later = [item for item in items if item.kind == "flex" and item.start > now and item.visibility != "planners"]
    if not later:
        return _chat(items, members, now, rng)
    item = rng.choice(later)
    minutes = 5 if item.version % 2 else -5
    reason = "running late" if minutes > 0 else "caught up"
    data = {"item": item.pk, "minutes": minutes, "reason": reason}
    return Word("timeline.shift", data, _sender(_of(members, "planner")[0]))
