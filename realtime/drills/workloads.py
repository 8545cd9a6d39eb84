"""Who is connected and what they say, as data: the profiles of ops.md 1.4, and a schedule played from one of them.

The schedule is open loop: when something is to be said does not depend on how fast the server is. It is drawn from Poisson
processes with a seed, so that two runs say the same.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from realtime.kinds import KINDS
from realtime.roles import ROLES, Role

BURST_SHARE = 0.25
"""In a burst so many of the weddings are in their peak minute at once (ops.md 1.4)."""
ENVELOPE_BYTES = 170
"""What a publication weighs on the wire without its text: the sizes of the table are whole messages."""

# ops.md 1.4: {members of a room: share of the rooms}.
ROOM_SHARES: dict[int, float] = {12: 0.15, 27: 0.30, 46: 0.30, 82: 0.20, 165: 0.05}
# ops.md 1.1 for a room of 46; the others in proportion. Columns: planner, couple, vendor, guest, display.
MIX_ROLES = ("planner", "couple", "vendor", "guest", "display")
MIXES: dict[int, tuple[int, ...]] = {
    5: (1, 1, 2, 1, 0),
    12: (1, 2, 3, 5, 1),
    27: (2, 3, 6, 14, 2),
    46: (3, 4, 9, 28, 2),
    82: (3, 6, 14, 56, 3),
    165: (4, 8, 22, 127, 4),
}


class Rate(Struct, frozen=True):
    """How often one kind is published in a wedding, whatever its size, and by which roles. `bytes`: of the whole message."""

    kind: str
    bytes: int
    steady_per_h: float
    peak_per_s: float
    roles: tuple[str, ...]


# ops.md 1.4. The digest of a shift is the server's (`timeline.items`), presence follows from who comes and goes. The rows
# "cue / task tick" and "seating/menu/rsvp" are split. Photos reach 37 of 46, not 23: all who may see them are viewers.
SATURDAY: tuple[Rate, ...] = (
    Rate("emergency.alert", 300, 0.02, 0.0, ("planner", "vendor")),
    Rate("timeline.shift", 900, 1.5, 0.017, ("planner",)),
    Rate("cue.go", 250, 10, 0.05, ("planner", "vendor")),
    Rate("timeline.event", 250, 10, 0.05, ("planner", "vendor")),
    Rate("vendor.status", 350, 3, 0.017, ("vendor",)),
    Rate("issue.report", 500, 1, 0.008, ("planner", "couple", "vendor")),
    Rate("guest.checkin", 200, 4, 0.12, ("planner", "display")),
    Rate("chat.crew", 300, 30, 0.033, ("planner", "couple", "vendor")),
    Rate("chat.guests", 300, 20, 0.033, ("couple", "guest")),
    Rate("seating.change", 400, 0.5, 0.001, ("planner", "couple")),
    Rate("rsvp.change", 400, 0.5, 0.001, ("guest", "couple")),
    Rate("menu.change", 400, 0.5, 0.001, ("guest", "couple")),
    Rate("photo.new", 350, 102, 0.60, ("guest", "couple", "vendor")),
    Rate("reaction", 90, 306, 1.8, ("guest", "couple", "vendor")),
    Rate("vendor.location", 150, 20, 0.067, ("vendor",)),
)
# One room of thousands: a ceremony that is followed from afar.
STREAM: tuple[Rate, ...] = (
    Rate("emergency.alert", 300, 30, 0.02, ("planner",)),
    Rate("cue.go", 250, 60, 0.05, ("planner", "vendor")),
    Rate("chat.crew", 300, 120, 0.1, ("planner", "couple", "vendor")),
    Rate("chat.guests", 300, 360, 0.3, ("couple", "guest")),
    Rate("reaction", 90, 1_800, 1.5, ("guest",)),
)


class Profile(Struct, frozen=True):
    """A workload. `connections` is what it has when nothing else is asked for; `factor` multiplies all message rates.

    `peak_share` of the weddings are in their peak minute, the others steady. `churn_per_s`: share of the connections that are
    lost and come back, each second. `one_room`: all in one; of enough people some are in
    weddings of the sizes `beside`.
    """

    name: str
    connections: int
    about: str
    rates: tuple[Rate, ...] = SATURDAY
    factor: float = 1.0
    peak_share: float = 0.0
    churn_per_s: float = 0.0018
    one_room: bool = False
    beside: tuple[int, ...] = ()


_PLAIN = (
    Profile("quiet", 5, "one wedding, five people: what most evenings look like"),
    Profile("sat-june-10k", 10_000, "a Saturday in June with 10,000 people connected"),
    Profile("sat-june-100k", 100_000, "the same with 100,000 people"),
    Profile("megaroom", 10_000, "everybody in one room", STREAM, one_room=True),
    Profile(
        "megaroom-and-others",
        10_000,
        "nearly everybody in one room, and three weddings",
        STREAM,
        one_room=True,
        beside=(46, 27, 12),
    ),
)
PROFILES: dict[str, Profile] = {p.name: p for p in _PLAIN} | {
    f"{p.name}-x10": replace(p, name=f"{p.name}-x10", factor=10.0, about=f"{p.about}; ten times the messages") for p in _PLAIN
}


class RoomPlan(Struct, frozen=True):
    """A room and the roles of its members, in order; a member is known by its index."""

    name: str
    roles: tuple[str, ...]


class Planned(Struct, frozen=True):
    """Something to be done at `t_s` after the start. Without a kind: the member loses its connection and comes back."""

    t_s: float
    room: int
    member: int
    kind: str = ""
    data: dict[str, Any] = {}


def mix(size: int) -> tuple[str, ...]:
    """The roles of a room of `size` members: one planner at least, the rest of the crew in proportion, guests what is left."""
    if size in MIXES:
        counts = list(MIXES[size])
    else:
        nearest = min(MIXES, key=lambda known: abs(known - size))
        scale = size / nearest if size < nearest else 1.0  # a huge room has more guests, not more planners
        counts = [max(1, int(n * scale)) if n else 0 for n in MIXES[nearest]]
        counts[3] = 0
        while sum(counts) > size:
            counts[max(range(len(counts)), key=lambda n: (counts[n], n))] -= 1
        counts[3] = size - sum(counts)
    return tuple(role for role, n in zip(MIX_ROLES, counts, strict=True) for _ in range(n))


def rooms(profile: Profile, connections: int, prefix: str = "load") -> list[RoomPlan]:
    """Rooms with `connections` members in total, sizes in the shares of ops.md 1.4 as far as so many allow."""
    if connections < 2:
        raise ValueError(f"connections {connections}: at least 2, somebody has to listen")
    if profile.one_room or connections <= max(MIXES[12]) + 7:
        beside = [size for size in profile.beside if connections >= 2 * sum(profile.beside)]
        sizes = [connections - sum(beside), *beside]
    else:
        mean = sum(size * share for size, share in ROOM_SHARES.items())
        wanted = {size: share * connections / mean for size, share in ROOM_SHARES.items()}
        sizes = [size for size, n in wanted.items() for _ in range(int(n))]
        # The largest shares of a room that were cut off come first, and one room takes what is left.
        for size in sorted(wanted, key=lambda size: int(wanted[size]) - wanted[size]):
            if sum(sizes) + size <= connections:
                sizes.append(size)
        left = connections - sum(sizes)
        if left > 2:
            sizes.append(left)
        elif left:
            sizes[0] += left
    return [RoomPlan(f"{prefix}-{n}", mix(size)) for n, size in enumerate(sizes)]


def publishes_per_s(profile: Profile, plan: Sequence[RoomPlan]) -> dict[str, float]:
    """{kind: expected publishes per second} in all rooms together, what the server adds left out."""
    share = profile.peak_share
    return {
        rate.kind: sum(_weight(rate, room) for room in plan)
        * profile.factor
        * (share * rate.peak_per_s + (1 - share) * rate.steady_per_h / 3_600)
        for rate in profile.rates
    }


def deliveries_per_s(profile: Profile, plan: Sequence[RoomPlan]) -> float:
    """Expected deliveries per second of what `publishes_per_s` counts."""
    readers = {
        rate.kind: sum(_weight(rate, room) * _readers(rate.kind, room) for room in plan)
        / (sum(_weight(rate, room) for room in plan) or 1)
        for rate in profile.rates
    }
    return sum(per_s * readers[kind] for kind, per_s in publishes_per_s(profile, plan).items())


def schedule(
    profile: Profile, plan: Sequence[RoomPlan], duration_s: float, seed: int, items: Sequence[Sequence[int]] = ()
) -> Iterator[Planned]:
    """What happens, in order of time. `items[room]` are ids of run sheet items: cues first, one at least, then others."""
    rng = random.Random(seed)
    # The weddings at their peak are spread over the sizes, and only few are enough when there are only few.
    order = list(range(len(plan)))
    rng.shuffle(order)
    peak = set(order[: math.ceil(profile.peak_share * len(plan))])
    streams = [
        _stream(rate, profile, plan, duration_s, random.Random(f"{seed} {rate.kind}"), items, peak) for rate in profile.rates
    ]
    return heapq.merge(*streams, _churn(profile, plan, duration_s, random.Random(f"{seed} churn")), key=lambda p: p.t_s)


def _weight(rate: Rate, room: RoomPlan) -> float:
    """1, or 0 when nobody in this room says this."""
    return float(any(role in rate.roles for role in room.roles))


def _readers(kind: str, room: RoomPlan) -> int:
    audience = KINDS[kind].audience
    return sum(ROLES[role] & audience != Role(0) for role in room.roles)


def _stream(
    rate: Rate,
    profile: Profile,
    plan: Sequence[RoomPlan],
    duration_s: float,
    rng: random.Random,
    items: Sequence[Sequence[int]],
    peak: set[int],
) -> Iterator[Planned]:
    steady_per_s = rate.steady_per_h / 3_600
    weights = [_weight(rate, room) * (rate.peak_per_s if n in peak else steady_per_s) for n, room in enumerate(plan)]
    upto = list(itertools.accumulate(weights))
    total = upto[-1] * profile.factor
    speakers = [[n for n, role in enumerate(room.roles) if role in rate.roles] for room in plan]
    t_s = 0.0
    for serial in itertools.count():
        t_s += rng.expovariate(total) if total else duration_s
        if t_s >= duration_s:
            return
        room = bisect.bisect_right(upto, rng.random() * upto[-1])
        sheet = items[room] if room < len(items) else (1, 2)
        yield Planned(t_s, room, rng.choice(speakers[room]), rate.kind, data_of(rate, serial, sheet))


def data_of(rate: Rate, serial: int, sheet: Sequence[int]) -> dict[str, Any]:
    """What number `serial` of this kind says, about items of this run sheet, cues first."""
    return _MAKERS[rate.kind](serial, sheet, "x" * max(1, rate.bytes - ENVELOPE_BYTES))


def _churn(profile: Profile, plan: Sequence[RoomPlan], duration_s: float, rng: random.Random) -> Iterator[Planned]:
    upto = list(itertools.accumulate(len(room.roles) for room in plan))
    per_s = upto[-1] * profile.churn_per_s
    t_s = 0.0
    while per_s:
        t_s += rng.expovariate(per_s)
        if t_s >= duration_s:
            return
        n = rng.randrange(upto[-1])
        room = bisect.bisect_right(upto, n)
        yield Planned(t_s, room, n - (upto[room - 1] if room else 0))


Maker = Callable[[int, Sequence[int], str], dict[str, Any]]

_VENDOR_STATES = ("en_route", "checked_in", "on_site", "delayed", "completed")
_MAKERS: dict[str, Maker] = {
    "emergency.alert": lambda n, sheet, text: {"alert": f"a{n}", "category": "medical", "text": text},
    # To and fro, so that a long drill does not push the evening into the next day.
    "timeline.shift": lambda n, sheet, text: {"item": sheet[-1], "minutes": 5 if n % 2 else -5, "reason": text},
    "cue.go": lambda n, sheet, text: {"item": sheet[0], "note": text},
    "timeline.event": lambda n, sheet, text: {"item": sheet[-1], "status": ("in_progress", "delayed")[n % 2], "note": text},
    "vendor.status": lambda n, sheet, text: {"vendor": f"v{n % 14}", "status": _VENDOR_STATES[n % 5], "reason": text},
    "issue.report": lambda n, sheet, text: {
        "issue": f"i{n % 40}",
        "title": "Rain",
        "severity": "high",
        "category": "weather",
        "text": text,
    },
    "guest.checkin": lambda n, sheet, text: {"guest": f"g{n % 400}", "name": f"Guest {n % 400}"},
    "chat.crew": lambda n, sheet, text: {"text": text},
    "chat.guests": lambda n, sheet, text: {"text": text},
    "seating.change": lambda n, sheet, text: {"guest": f"g{n % 400}", "table": f"Table {n % 20}"},
    "rsvp.change": lambda n, sheet, text: {"guest": f"g{n % 400}", "answer": ("yes", "no", "maybe")[n % 3]},
    "menu.change": lambda n, sheet, text: {"guest": f"g{n % 400}", "menu": "vegan", "dietary": text},
    "photo.new": lambda n, sheet, text: {"photo": f"p{n}", "url": f"https://photos.example/{n}", "caption": text},
    "reaction": lambda n, sheet, text: {"target": f"p{n}", "emoji": "\N{PARTY POPPER}"},
    "vendor.location": lambda n, sheet, text: {"lat": 51.5, "lon": -0.12, "accuracy_m": 8.0},
}
