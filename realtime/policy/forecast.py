"""How many people will be connected, from the calendar of weddings. PURE. From ops.md 1.1 (roles, phases), 2.4 (formulas)."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from msgspec import Struct

from realtime.policy.windows import EventWindow, event_window, shifted

PHASES = ("setup", "arrival", "ceremony", "cocktail", "dinner", "exit")
_BEGINS_H = (-8.0, -1.0, 0.0, 0.5, 1.5, 5.0, 7.0)
"""Hours from the ceremony, on the venue's clock: when each phase begins, and when the last one ends."""
SHARES: dict[str, tuple[float, ...]] = {
    "guest": (0.01, 0.18, 0.08, 0.24, 0.20, 0.05),
    "vendor": (0.65, 0.65, 0.50, 0.55, 0.50, 0.35),
    "planner": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "couple": (0.33, 0.30, 0.05, 0.33, 0.30, 0.10),
    "display": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
}
"""{role: share connected in each phase} of those invited or hired."""
COUPLE, DISPLAYS = 12, 2
"""The couple with parents and party; photo wall and check-in desk (ops.md 1.1)."""
TYPICAL = {"guest": 115, "vendor": 14, "planner": 1}
"""The shape of a wedding of which only the number of people at the peak is known (ops.md 1.1)."""
AHEAD_S = 900.0
"""Capacity is there this long before it is needed: a worker starts in seconds, a node of a cloud in minutes (AWS: 300 s)."""
SPREAD = 0.5
"""How far one wedding is off its forecast (coefficient of variation); n independent ones are off by 1 / sqrt(n) of it."""
RHO_TAU_S, RHO_LOW, RHO_HIGH = 900.0, 0.5, 2.0
FORECAST_LEAST = 20.0
"""Below this many people a ratio says nothing."""


class Booking(Struct, frozen=True, dict=True):
    """One wedding of the calendar. `expected`: people connected at its peak, 0 when not known."""

    wedding: str
    ceremony: datetime
    zone: ZoneInfo
    invited: int = 0
    vendors: int = 0
    planners: int = 0
    expected: int = 0
    window: EventWindow | None = None
    """Its day by its run sheet; None: by its ceremony."""

    @property
    def known(self) -> bool:
        """Whether it says anything about how many people come."""
        return bool(self.invited or self.vendors or self.planners or self.expected)

    @cached_property
    def day(self) -> EventWindow:
        return self.window or event_window(self.wedding, self.ceremony, self.zone)

    @cached_property
    def begins_s(self) -> tuple[float, ...]:
        """When its phases begin, UTC seconds, and when the last one ends."""
        moments = (shifted(self.ceremony, self.zone, timedelta(hours=hours)) for hours in _BEGINS_H)
        return tuple(moment.timestamp() for moment in moments)

    @cached_property
    def by_phase(self) -> tuple[dict[str, float], ...]:
        """For each phase {role: people connected}. With `expected` known, scaled so that the fullest phase has so many."""
        people = {"guest": self.invited, "vendor": self.vendors, "planner": self.planners}
        people = (people if any(people.values()) else TYPICAL) | {"couple": COUPLE, "display": DISPLAYS}
        raw = [{role: people[role] * SHARES[role][phase] for role in SHARES} for phase in range(len(PHASES))]
        factor = self.expected / max(sum(roles.values()) for roles in raw) if self.expected else 1.0
        return tuple({role: n * factor for role, n in roles.items()} for roles in raw) if self.known else ()

    def phase(self, at_s: float) -> str:
        """The name of the phase at that instant, "" outside the day."""
        index = bisect.bisect_right(self.begins_s, at_s) - 1
        return PHASES[index] if 0 <= index < len(PHASES) else ""

    def connected(self, at_s: float) -> dict[str, float]:
        """{role: people expected to be connected} at that instant."""
        phase = self.phase(at_s)
        return self.by_phase[PHASES.index(phase)] if phase and self.known else {}


class Correction(Struct, frozen=True):
    """How much more (or fewer) people come than the calendar says: a moving mean over 15 min, 0.5 to 2."""

    rho: float = 1.0
    at_s: float | None = None

    def step(self, actual: float | None, forecast: float, now_s: float) -> Correction:
        """After one look. Nothing is learned without a reading. Where a handful of people is expected, what was learned fades:
        yesterday's turnout is not today's, and the first look of a day weighs no more than any other."""
        if actual is None:
            return self
        elapsed_s = 0.0 if self.at_s is None else max(0.0, now_s - self.at_s)
        weight = 1 - math.exp(-elapsed_s / RHO_TAU_S)
        ratio = min(RHO_HIGH, max(RHO_LOW, actual / forecast)) if forecast >= FORECAST_LEAST else 1.0
        return Correction(self.rho + weight * (ratio - self.rho), now_s)


class Need(Struct, frozen=True):
    """What the calendar asks for. `peak`: people to be ready for, margin included; `soon`: the same for the next hour."""

    expected_now: float
    peak: float
    soon: float
    live: int
    day: bool
    """Whether any wedding has its day: stabilisation is longer then."""
    busy: bool
    """Whether any wedding is between 2 h before its ceremony and 6 h after it: two workers at least then."""
    held: int
    """Weddings whose ceremony is near or on, or begins within 10 min."""


BUSY_BEFORE_S, BUSY_AFTER_S = 7_200.0, 21_600.0
SOON_S = 3_600.0
"""Who is needed again within the hour is not sent away: at most one reversal an hour."""
STARTS_S = 600.0
NOTHING = Need(0.0, 0.0, 0.0, 0, False, False, 0)


class Forecast:
    """The weddings of some days, summed up once: asking costs a search in a sorted list instead of a walk over all weddings."""

    def __init__(self, bookings: Sequence[Booking]) -> None:
        self.bookings = [booking for booking in bookings if booking.known]
        self.by_wedding = {booking.wedding: booking for booking in bookings}
        self.unknown = sorted(booking.wedding for booking in bookings if not booking.known)
        steps: dict[float, tuple[float, int]] = {}
        for booking in self.bookings:
            sizes = [0.0, *(sum(roles.values()) for roles in booking.by_phase), 0.0]
            for index, at_s in enumerate(booking.begins_s):
                people, live = steps.get(at_s, (0.0, 0))
                live += (index == 0) - (index == len(PHASES))
                steps[at_s] = (people + sizes[index + 1] - sizes[index], live)
        self._at_s = sorted(steps)
        self._people, self._live, people, live = [0.0], [0], 0.0, 0
        for at_s in self._at_s:
            people, live = people + steps[at_s][0], live + steps[at_s][1]
            self._people.append(people)
            self._live.append(live)

    def expected(self, at_s: float) -> float:
        """People expected to be connected at that instant, as the calendar says."""
        return max(0.0, self._people[bisect.bisect_right(self._at_s, at_s)])

    def most(self, from_s: float, to_s: float) -> float:
        """The most expected at any instant of [from_s, to_s], the margin for what is not known included."""
        first, last = bisect.bisect_right(self._at_s, from_s), bisect.bisect_right(self._at_s, to_s)
        pairs = zip(self._people[first : last + 1], self._live[first : last + 1], strict=True)
        return max((n * (1 + 2 * SPREAD / math.sqrt(live)) for n, live in pairs if live), default=0.0)

    def need(self, now_s: float, rho: float = 1.0) -> Need:
        """What to be ready for at `now_s`."""
        days = [booking.day for booking in self.bookings]
        return Need(
            expected_now=self.expected(now_s),
            peak=rho * self.most(now_s, now_s + AHEAD_S),
            soon=rho * self.most(now_s, now_s + SOON_S),
            live=self._live[bisect.bisect_right(self._at_s, now_s)],
            day=any(day.open(now_s) for day in days),
            busy=any(day.ceremony_s - BUSY_BEFORE_S <= now_s < day.ceremony_s + BUSY_AFTER_S for day in days),
            held=sum(day.ceremony(now_s) or 0 <= day.ceremony_s - now_s < STARTS_S for day in days),
        )
