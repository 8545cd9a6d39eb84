"""Who has not seen the emergency, and what follows from it. PURE: the crew and its confirmations in, what to do out.

Nothing is sent twice to the screens as an emergency: a repetition could overtake the all-clear and raise it again. The crew is
reminded by name instead, and at last somebody is paged who can call them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

REMIND_AFTER_S = (30.0, 60.0, 120.0)
"""A glance at a phone takes half a minute; two minutes are too long for a medical emergency, so the next step is a call."""
NAMES_MAX = 12
"""In one sentence; the planner's board lists everybody."""


class Emergency(Struct, frozen=True):
    """One that is not over. `at_s`: UTC seconds when it was stored."""

    wedding: str
    alert: str
    offset: int
    text: str
    member: str
    """Who raised it: they have seen it."""
    at_s: float


class Person(Struct, frozen=True):
    """Somebody of the crew."""

    member: str
    name: str


class Reminder(Struct, frozen=True):
    """What to say to the crew of the wedding. The same `id` twice is one message."""

    wedding: str
    id: str
    text: str


class Overdue(Struct, frozen=True):
    """An emergency that somebody has not confirmed."""

    emergency: Emergency
    missing: tuple[str, ...]
    age_s: float

    @property
    def who(self) -> str:
        """Their names, as many as fit into a sentence."""
        more = len(self.missing) - NAMES_MAX
        return ", ".join(self.missing[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def overdue(emergency: Emergency, crew: Sequence[Person], seen: Collection[str], now_s: float) -> Overdue | None:
    """Who has not confirmed it (`seen`: ids of members), None when everybody has."""
    missing = tuple(p.name for p in crew if p.member not in seen and p.member != emergency.member)
    return Overdue(emergency, missing, max(0.0, now_s - emergency.at_s)) if missing else None


def reminder(late: Overdue) -> Reminder | None:
    """The latest reminder that is due, None before the first."""
    n = sum(after_s <= late.age_s for after_s in REMIND_AFTER_S)
    if not n:
        return None
    emergency = late.emergency
    text = f"Not confirmed yet by {late.who}. Please press that you have seen it: {emergency.text}"
    return Reminder(emergency.wedding, f"confirm-{emergency.offset}-{n}", text[:2_000])
