"""A day of the calendar, compressed: which weddings, who is there in which phase, what they say. PURE.

Phases are N times shorter than on the day; what people say in a second, and how quickly servers and phones recover, is not.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from datetime import date

from msgspec import Struct

from realtime.drills.workloads import SATURDAY, Planned, Rate, RoomPlan, data_of, mix
from realtime.policy.forecast import PHASES, SHARES, Booking

LEAST = 6
"""People of the smallest wedding that is worth playing: a planner, the couple, a vendor or two, guests."""
PEAK_PHASES = ("arrival", "cocktail")
"""Check-in, then photos and applause: the peak rates of ops.md 1.4. In between phones are away."""
SPREAD_S = 4.0
"""People of a wedding come and go within so long, not in one moment."""


class Stay(Struct, frozen=True):
    """From then on this member is there, or not."""

    t_s: float
    room: int
    member: int
    there: bool


class Day(Struct, frozen=True):
    """The weddings that are played, of all that day has. `bookings` and `plan` go together."""

    on: date
    weddings: int
    bookings: tuple[Booking, ...]
    plan: tuple[RoomPlan, ...]
    opens_s: float
    """UTC seconds: when the first wedding begins to be set up."""
    closes_s: float
    speed: float

    @property
    def length_s(self) -> float:
        """How long it takes to play."""
        return (self.closes_s - self.opens_s) / self.speed

    def played(self, at_s: float) -> float:
        """Seconds of the play at which it is `at_s` (UTC seconds) on that day."""
        return (at_s - self.opens_s) / self.speed

    def clock_s(self, t_s: float) -> float:
        """UTC seconds on that day at `t_s` of the play."""
        return self.opens_s + t_s * self.speed


def compressed(on: date, bookings: Sequence[Booking], people: int, speed: float, prefix: str) -> Day:
    """So many people in weddings that stand for all of that day. Raises ValueError with a sentence for the operator."""
    known = sorted((b for b in bookings if b.known), key=lambda b: (b.ceremony, b.wedding))
    if not known:
        raise ValueError(f"no wedding of {on} says how many people come: import its calendar, or give --calendar FILE")
    if people < LEAST:
        raise ValueError(f"--connections {people}: at least {LEAST}")
    count = min(len(known), people // LEAST)
    some = [known[int((n + 0.5) * len(known) / count)] for n in range(count)]
    sizes = _sizes([max(sum(roles.values()) for roles in b.by_phase) for b in some], people)
    plan = tuple(RoomPlan(f"{prefix}-{n}", mix(size)) for n, size in enumerate(sizes))
    opens_s, closes_s = min(b.begins_s[0] for b in known), max(b.begins_s[-1] for b in known)
    return Day(on, len(bookings), tuple(some), plan, opens_s, closes_s, speed)


def _sizes(wanted: Sequence[float], people: int) -> list[int]:
    """In the proportions of `wanted`, at least `LEAST` each, `people` in total at most."""
    spare, total = people - LEAST * len(wanted), sum(wanted)
    return [min(math.ceil(size), LEAST + int(spare * size / total)) if size > LEAST else LEAST for size in wanted]


def stays(day: Day, seed: int) -> list[Stay]:
    """Who comes and goes when, in order of time; what holds at the beginning has t_s 0."""
    rng = random.Random(f"{seed} stays")
    found = []
    for n, (booking, room) in enumerate(zip(day.bookings, day.plan, strict=True)):
        for member, (place, of, role) in enumerate(_places(room)):
            there = False
            found.append(Stay(0.0, n, member, there))
            for phase, begins_s in itertools.zip_longest(range(len(PHASES)), booking.begins_s):
                now = phase is not None and place < _there(role, phase) * of
                if now != there:
                    spread_s = min(SPREAD_S, day.length_s / 50)
                    found.append(Stay(max(0.0, day.played(begins_s)) + rng.random() * spread_s, n, member, now))
                    there = now
    return sorted(found, key=lambda stay: stay.t_s)


def _places(room: RoomPlan) -> Iterator[tuple[int, int, str]]:
    """(its number among those of its role, how many these are, role) of each member."""
    seen: dict[str, int] = {}
    for role in room.roles:
        yield seen.get(role, 0), room.roles.count(role), role
        seen[role] = seen.get(role, 0) + 1


def _there(role: str, phase: int) -> float:
    """Share of those of a role who ever come that are there in this phase."""
    return SHARES[role][phase] / max(SHARES[role])


def sayings(day: Day, seed: int, items: Sequence[Sequence[int]], rates: Sequence[Rate] = SATURDAY) -> Iterator[Planned]:
    """What is said when: Poisson in each wedding and phase, at the rates of a real day. In order of time."""
    streams = [
        _stream(day, n, rate, items, random.Random(f"{seed} {n} {rate.kind}")) for n in range(len(day.plan)) for rate in rates
    ]
    return heapq.merge(*streams, key=lambda planned: planned.t_s)


def _stream(day: Day, n: int, rate: Rate, items: Sequence[Sequence[int]], rng: random.Random) -> Iterator[Planned]:
    speakers = [m for m, role in enumerate(day.plan[n].roles) if role in rate.roles]
    begins = [day.played(at_s) for at_s in day.bookings[n].begins_s]
    serials = itertools.count()
    for phase, (start_s, end_s) in enumerate(itertools.pairwise(begins)):
        per_s = rate.peak_per_s if PHASES[phase] in PEAK_PHASES else rate.steady_per_h / 3_600
        t_s = start_s
        while speakers and per_s:
            t_s += rng.expovariate(per_s)
            if t_s >= end_s:
                break
            yield Planned(t_s, n, rng.choice(speakers), rate.kind, data_of(rate, next(serials), items[n] or (1, 2)))
