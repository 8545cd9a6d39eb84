"""The message kinds: what can be said, who may say it, who sees it, how urgent it is and whether it is kept.

Adding a kind is one entry here: a struct for its data and a line in the table. The fan-outs, sizes and rates that the
workloads use for these kinds are in `realtime/drills/workloads.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from realtime.roles import Audience, Role

Name = Annotated[str, Meta(min_length=1, max_length=120)]
Key = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=2_000)]
FIRST, LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Moments between these can be told in every time zone. What lies outside a database may take, and nobody can read it then."""
Minutes = Annotated[int, Meta(ge=-1440, le=1440)]


class Priority(IntEnum):
    """P0 leaves first. P0-P2 are kept in the journal, P3 is ephemeral."""

    P0 = 0
    P1 = 1
    P2 = 2
    P3 = 3


class Data(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all payloads: unknown fields are refused, so that a typing error of a publisher is not stored for ever."""


class EmergencyAlert(Data, frozen=True):
    alert: Key
    category: Literal["medical", "fire", "weather_shelter", "missing_person", "other"]
    text: Text
    state: Literal["active", "all_clear"] = "active"
    where: Name | None = None


class Shift(Data, frozen=True):
    item: int
    minutes: Minutes
    reason: Text | None = None


class Reorder(Data, frozen=True):
    item: int
    after: int
    reason: Text | None = None


class ItemEvent(Data, frozen=True):
    item: int
    status: Literal["pending", "in_progress", "completed", "delayed", "cancelled"]
    note: Text | None = None


class CueGo(Data, frozen=True):
    item: int
    note: Text | None = None


RESTORED_MAX = 500
"""Items taken back at once: they fit into one message of a planner."""


class Restored(Data, frozen=True):
    """Where one item goes back to; `version` is the one it has now, so that nothing newer is undone."""

    item: int
    version: int
    start: datetime
    minutes: Annotated[int, Meta(ge=0, le=2880)]


class Restore(Data, frozen=True):
    """Takes a change of the plan back, buffers included: all of it, or nothing when somebody has changed one of them since."""

    items: Annotated[list[Restored], Meta(min_length=1, max_length=RESTORED_MAX)]
    reason: Text | None = None


class Items(Data, frozen=True):
    items: list[dict[str, object]]
    removed: list[int] = []


class SheetEdited(Data, frozen=True):
    """The run sheet was edited or imported; `removed` are {visibility: ids of items that are gone}."""

    removed: dict[Literal["everyone", "crew", "planners"], list[int]] = {}


class VendorStatus(Data, frozen=True):
    vendor: Name
    status: Literal["pending", "en_route", "checked_in", "on_site", "delayed", "completed"]
    eta: datetime | None = None
    delay_minutes: Minutes | None = None
    reason: Text | None = None


class Issue(Data, frozen=True):
    issue: Key
    title: Name
    severity: Literal["low", "medium", "high", "critical"]
    category: Literal["vendor", "timeline", "weather", "technical", "logistics"]
    state: Literal["open", "working", "resolved"] = "open"
    owner: Name | None = None
    text: Text | None = None


class WeatherAlert(Data, frozen=True):
    text: Text
    severity: Literal["watch", "warning", "clear"]
    until: datetime | None = None


class GuestCheckin(Data, frozen=True):
    guest: Key
    name: Name | None = None
    arrived: bool = True
    party: Annotated[int, Meta(ge=0, le=50)] = 1
    door: Name | None = None


class SeatingChange(Data, frozen=True):
    guest: Key
    table: Name
    seat: Annotated[int, Meta(ge=1, le=1000)] | None = None


class RsvpChange(Data, frozen=True):
    guest: Key
    answer: Literal["yes", "no", "maybe"]
    party: Annotated[int, Meta(ge=0, le=50)] = 1


class MenuChange(Data, frozen=True):
    guest: Key
    menu: Name
    dietary: Text | None = None


class Chat(Data, frozen=True):
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


class Seen(Data, frozen=True):
    """A person says that they have seen something: `emergency <alert>` or `cue <item>`."""

    about: Annotated[str, Meta(min_length=1, max_length=80)]


class Photo(Data, frozen=True):
    photo: Key
    url: Annotated[str, Meta(max_length=500)]
    width: int | None = None
    height: int | None = None
    caption: Text | None = None


class Reaction(Data, frozen=True):
    target: Key
    emoji: Annotated[str, Meta(min_length=1, max_length=16)]


class Presence(Data, frozen=True):
    member: Key
    role: str
    name: str
    state: Literal["here", "gone"]


class Receipt(Struct, frozen=True, array_like=True):
    """A member's device has everything up to `offset`. `ms`: how long the last of it took, from the moment the publisher's
    message was read; None when that is not known, as after a reconnect."""

    member: str
    offset: int
    ms: float | None = None


class Receipts(Data, frozen=True):
    receipts: list[Receipt]


class Typing(Data, frozen=True):
    typing: bool = True


class Location(Data, frozen=True):
    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]
    accuracy_m: float | None = None


class Tick(Data, frozen=True):
    """What load tools publish: anything they need to measure, in fields of their own."""

    n: int = 0
    sent_us: int = 0
    pad: str = ""


SENDER = "from"
"""As a coalesce key: the member who published it. `from <field>`: the member and what it is about."""


class Kind(Struct, frozen=True):
    """One row of the table.

    `coalesce_key` names the field of the data that says what this is about (`SENDER`: the publisher). Of ephemeral
    publications with the same key only the newest is worth delivering to a member that is behind; of durable ones the newest is
    the current state and is part of the snapshot. Without a key each publication stands for itself.
    `spare`: a phone in trouble, or in a pocket, does without it. `settled`, `anew`: the `state` with which the matter is over,
    and the one that begins it again. Any other after that comes from somebody who did not know, and is refused.
    """

    name: str
    priority: Priority
    audience: Audience
    publishers: int
    data: type[Struct]
    coalesce_key: str | None = None
    acts: bool = False
    load_only: bool = False
    spare: bool = False
    settled: str = ""
    anew: str = ""

    @property
    def durable(self) -> bool:
        """Whether it gets an offset and is kept: all but P3."""
        return self.priority < Priority.P3


SERVER = 0
"""As publishers: only the server's own code."""
_PLANNER = Role.PLANNER | Role.STAFF
_CREW = int(Audience.CREW)
_PEOPLE = _CREW | Role.GUEST
_DESK = _PLANNER | Role.DISPLAY | Role.VENDOR
_ALL, _P = Audience, Priority

_TABLE = [
    Kind("emergency.alert", _P.P0, _ALL.EVERYONE, _PLANNER | Role.VENDOR, EmergencyAlert, "alert"),
    Kind("timeline.shift", _P.P1, _ALL.CREW, _PLANNER, Shift, acts=True),
    Kind("timeline.reorder", _P.P1, _ALL.CREW, _PLANNER, Reorder, acts=True),
    Kind("timeline.restore", _P.P1, _ALL.CREW, _PLANNER, Restore, acts=True),
    Kind("timeline.event", _P.P1, _ALL.CREW, _PLANNER | Role.VENDOR, ItemEvent, acts=True),
    Kind("timeline.sheet", _P.P1, _ALL.PLANNERS, SERVER, SheetEdited, acts=True),
    Kind("timeline.items", _P.P1, _ALL.EVERYONE, SERVER, Items),
    Kind("cue.go", _P.P1, _ALL.CREW, _PLANNER | Role.VENDOR, CueGo, acts=True),
    Kind("vendor.status", _P.P1, _ALL.CREW, _PLANNER | Role.VENDOR, VendorStatus, "vendor"),
    Kind("issue.report", _P.P1, _ALL.CREW, _CREW, Issue, "issue", settled="resolved", anew="open"),
    Kind("weather.alert", _P.P1, _ALL.CREW, _PLANNER, WeatherAlert),
    Kind("announcement", _P.P1, _ALL.EVERYONE, _PLANNER | Role.COUPLE, Chat),
    Kind("seen", _P.P2, _ALL.PLANNERS, _PEOPLE, Seen, f"{SENDER} about"),
    Kind("guest.checkin", _P.P2, _ALL.DESK, _DESK | Role.GUEST, GuestCheckin, "guest"),
    Kind("seating.change", _P.P2, _ALL.CREW, _PLANNER | Role.COUPLE, SeatingChange, "guest"),
    Kind("rsvp.change", _P.P2, _ALL.CREW, _PEOPLE, RsvpChange, "guest"),
    Kind("menu.change", _P.P2, _ALL.CREW, _PEOPLE, MenuChange, "guest"),
    Kind("chat.crew", _P.P2, _ALL.CREW, _CREW, Chat),
    Kind("chat.guests", _P.P2, _ALL.EVERYONE, _PEOPLE, Chat),
    Kind("photo.new", _P.P3, _ALL.PHOTOS, _PEOPLE, Photo),
    Kind("reaction", _P.P3, _ALL.PHOTOS, _PEOPLE, Reaction, spare=True),
    Kind("presence", _P.P3, _ALL.CREW, SERVER, Presence, "member"),
    Kind("receipts", _P.P3, _ALL.PLANNERS, SERVER, Receipts),
    Kind("typing", _P.P3, _ALL.CREW, _CREW, Typing, SENDER, spare=True),
    Kind("vendor.location", _P.P3, _ALL.PLANNERS, Role.VENDOR, Location, SENDER, spare=True),
    Kind("bench.tick", _P.P3, _ALL.EVERYONE, 127, Tick, load_only=True),
]

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
"""All kinds by name. An application adds its own with `register` in its `AppConfig.ready`."""

_decoders: dict[str, msgspec.json.Decoder[Struct]] = {k.name: msgspec.json.Decoder(k.data) for k in _TABLE}


def register(kind: Kind) -> None:
    """Add a kind of your own. Raises ValueError when the name is taken by a different kind."""
    if KINDS.setdefault(kind.name, kind) != kind:
        raise ValueError(f"message kind {kind.name!r} is already defined differently")
    _decoders[kind.name] = msgspec.json.Decoder(kind.data)


def priority_of(kind: str) -> Priority:
    """Of a kind by name. One that this process does not know comes from another release: durable is the careful reading."""
    known = KINDS.get(kind)
    return known.priority if known is not None else Priority.P1


def decode_data(kind: Kind, data: bytes | msgspec.Raw) -> Struct:
    """The payload as the kind's struct. Raises msgspec.ValidationError with the path of the offending field."""
    return _decoders[kind.name].decode(data)


def coalesce_key(kind: Kind, data: Struct, member: str) -> str:
    """What this publication is about, "" when it stands for itself. At most 120 characters."""
    if kind.coalesce_key is None:
        return ""
    sender, _, field = kind.coalesce_key.rpartition(" ")
    if field == SENDER:
        return member
    about = str(getattr(data, field))
    return f"{member} {about}" if sender else about
