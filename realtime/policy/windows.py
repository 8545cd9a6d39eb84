"""What must be left alone, and when: the day of each wedding in its venue's time. PURE.

Two marks inside a wedding's day. During the whole of it nothing is deployed. Around its ceremony nothing of it is moved either:
phones are away, cues count to the second. Moves at other hours are make-before-break and seen by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

Action = Literal["deploy", "scale-in", "move"]

DAY_BEFORE, DAY_AFTER = timedelta(hours=8), timedelta(hours=7)
"""ops.md 1.1: setting up begins 8 h before the ceremony, strike ends 7 h after it."""
CEREMONY_BEFORE_S, CEREMONY_AFTER_S = 300.0, 2_100.0
"""ops.md 2.4: from 5 min before the ceremony to 5 min after its half hour."""
OVERRIDE_MAX = timedelta(hours=12)
"""An override that outlives the day would be forgotten."""


class EventWindow(Struct, frozen=True):
    """The day of one wedding, UTC seconds."""

    wedding: str
    ceremony_s: float
    opens_s: float
    closes_s: float

    def open(self, now_s: float) -> bool:
        """Whether it is this wedding's day."""
        return self.opens_s <= now_s < self.closes_s

    def ceremony(self, now_s: float) -> bool:
        """Whether its ceremony is near or on."""
        return self.ceremony_s - CEREMONY_BEFORE_S <= now_s < self.ceremony_s + CEREMONY_AFTER_S


class Override(Struct, frozen=True):
    """Somebody takes the responsibility: `who` and `reason` are never empty."""

    who: str
    reason: str
    until_s: float


def shifted(moment: datetime, zone: ZoneInfo, by: timedelta) -> datetime:
    """`moment` moved by `by` on the clock that hangs in the venue, as UTC: people begin and end by that clock.

    Of a time that exists twice the one that makes the day longer is meant; one that is left out is read with the old offset.
    """
    wall = moment.astimezone(zone).replace(tzinfo=None) + by
    found = wall.replace(tzinfo=zone, fold=int(by > timedelta())).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) != wall:  # left out: there the second fold is the new offset (PEP 495)
        found = wall.replace(tzinfo=zone).astimezone(UTC)
    return found


def event_window(wedding: str, ceremony: datetime, zone: ZoneInfo) -> EventWindow:
    """The day of a wedding of which only the ceremony is known."""
    opens, closes = shifted(ceremony, zone, -DAY_BEFORE), shifted(ceremony, zone, DAY_AFTER)
    return EventWindow(wedding, ceremony.timestamp(), opens.timestamp(), closes.timestamp())


def held_by(
    action: Action,
    windows: Iterable[EventWindow],
    day_s: float,
    overrides: Sequence[Override] = (),
    now_s: float | None = None,
) -> list[EventWindow]:
    """The weddings for whose sake `action` has to wait at `day_s`; none when a person has overridden it.

    `now_s`: the time at which people speak, where the day is a rehearsed one.
    """
    said_s = day_s if now_s is None else now_s
    if any(override.until_s > said_s for override in overrides):
        return []
    return [window for window in windows if (window.open(day_s) if action == "deploy" else window.ceremony(day_s))]
