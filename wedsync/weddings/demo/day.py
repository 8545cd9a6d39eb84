"""What is said next on a demo day. PURE: the run sheet, the people, the time and chance in, one publication out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from realtime.messages import Sender
from wedsync.weddings.models import Member, RunSheetItem
from wedsync.weddings.timeline import Item, shift

CHAT = ("On my way to the gate.", "Candles are lit.", "We need ten more chairs.", "All quiet here.", "Kitchen is ready.")
GREETINGS = ("What a day!", "Which way to the bar?", "So beautiful.", "Is there parking left?")
EMOJI = ("\u2764\ufe0f", "\U0001f389", "\U0001f44f", "\U0001f60d")
OVER = ("completed", "cancelled")
CLOCK_SHARE = 0.6
"""How often what the clock asks for goes before small talk: a demo started in the evening has a whole day to catch up with."""
SHIFT_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Word:
    """One publication: what and by whom."""

    kind: str
    data: dict[str, Any]
    sender: Sender


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of one wedding at a moment. `owed`: {item id: minutes} that bring back what was shifted before."""

    items: Sequence[RunSheetItem]
    members: Sequence[Member]
    now: datetime
    owed: Mapping[int, int]

    def sender(self, role: str, rng: random.Random) -> Member | None:
        """Somebody of this role who may still come in."""
        found = [member for member in self.members if member.role == role and not member.revoked]
        return rng.choice(found) if found else None


def next_word(scene: Scene, rng: random.Random) -> Word | None:
    """What the clock asks for, or small talk; None when there is nobody to say anything."""
    planner = scene.sender("planner", rng)
    due = _due(scene, _sender(planner)) if planner is not None else None
    if due is not None and rng.random() < CLOCK_SHARE:
        return due
    talk = [_chat, _greeting, _vendor, _checkin, _reaction, _shift]
    rng.shuffle(talk)
    return next((word for make in talk if (word := make(scene, rng)) is not None), due)


def owed_after(owed: Mapping[int, int], word: Word) -> dict[int, int]:
    """What is to be shifted back once `word` is published."""
    if word.kind != "timeline.shift":
        return dict(owed)
    left = owed.get(word.data["item"], 0) - word.data["minutes"]
    return {n: minutes for n, minutes in (owed | {word.data["item"]: left}).items() if minutes}  # type: ignore[operator]


def _sender(member: Member) -> Sender:
    return Sender(member.public_id, member.role, member.name)


def _due(scene: Scene, planner: Sender) -> Word | None:
    """The oldest item that should have begun or ended by now."""
    for item in scene.items:
        if item.visibility == "planners" or item.kind == "buffer" or item.status in OVER:
            continue
        if item.start > scene.now:
            continue
        if item.kind == "cue":
            return Word("cue.go", {"item": item.pk}, planner)
        if item.start + timedelta(minutes=item.minutes) <= scene.now:
            return Word("timeline.event", {"item": item.pk, "status": "completed"}, planner)
        if item.status != "in_progress":
            return Word("timeline.event", {"item": item.pk, "status": "in_progress"}, planner)
    return None


def _chat(scene: Scene, rng: random.Random) -> Word | None:
    vendor = scene.sender("vendor", rng)
    return None if vendor is None else Word("chat.crew", {"text": rng.choice(CHAT)}, _sender(vendor))


def _greeting(scene: Scene, rng: random.Random) -> Word | None:
    guest = scene.sender("guest", rng)
    return None if guest is None else Word("chat.guests", {"text": rng.choice(GREETINGS)}, _sender(guest))


def _vendor(scene: Scene, rng: random.Random) -> Word | None:
    vendor = scene.sender("vendor", rng)
    if vendor is None:
        return None
    status = rng.choice(("en_route", "checked_in", "on_site"))
    return Word("vendor.status", {"vendor": vendor.title or vendor.name, "status": status}, _sender(vendor))


def _checkin(scene: Scene, rng: random.Random) -> Word | None:
    guest = scene.sender("guest", rng)
    if guest is None:
        return None
    return Word("guest.checkin", {"guest": guest.public_id, "name": guest.name, "door": "Main gate"}, _sender(guest))


def _reaction(scene: Scene, rng: random.Random) -> Word | None:
    guest = scene.sender("guest", rng)
    begun = [item for item in scene.items if item.visibility == "everyone" and item.start <= scene.now]
    if guest is None or not begun:
        return None
    return Word("reaction", {"target": f"item-{begun[-1].pk}", "emoji": rng.choice(EMOJI)}, _sender(guest))


def _shift(scene: Scene, rng: random.Random) -> Word | None:
    """Back what was shifted before, else something a few minutes later that can come back without a trace."""
    planner = scene.sender("planner", rng)
    if planner is None:
        return None
    here = {item.pk for item in scene.items}
    for item_id, minutes in scene.owed.items():
        if item_id in here:
            return Word("timeline.shift", {"item": item_id, "minutes": minutes, "reason": "caught up"}, _sender(planner))
    able = list(_able(scene))
    if not able:
        return None
    data = {"item": rng.choice(able), "minutes": SHIFT_MINUTES, "reason": "running late"}
    return Word("timeline.shift", data, _sender(planner))


def _able(scene: Scene) -> Iterator[int]:
    """Ids of items to come whose shift, taken back, leaves the run sheet as it was: the day does not drift away."""
    sheet = {
        item.pk: Item(item.pk, item.start, item.minutes, item.kind, tuple(item.depends_on), item.status in OVER)
        for item in scene.items
    }
    for item in scene.items:
        if item.kind == "flex" and item.start > scene.now and item.visibility != "planners" and item.status == "pending":
            there = sheet | shift(sheet.values(), item.pk, SHIFT_MINUTES).changed
            if there | shift(there.values(), item.pk, -SHIFT_MINUTES).changed == sheet:
                yield item.pk
