"""The weddings of some days as the forecast wants them: from the database, or from a calendar that is not imported."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from realtime.policy.forecast import Booking
from realtime.policy.windows import EventWindow
from wedsync.weddings.calendars import Row
from wedsync.weddings.models import Wedding

AROUND = timedelta(days=1)
"""A ceremony so far from now still matters: set-up begins 8 h before, strike ends 7 h after, the scaler looks 1 h ahead."""


def bookings(now: datetime, around: timedelta = AROUND) -> list[Booking]:
    """The weddings whose ceremony is within `around` of `now`. Those of the demo do not count. Two queries."""
    near = Wedding.objects.filter(demo=False, ceremony_at__range=(now - around, now + around)).prefetch_related("items")
    return [_booking(wedding) for wedding in near]


def from_calendar(rows: Iterable[Row]) -> list[Booking]:
    """The weddings of a calendar that was read by `wedsync.weddings.calendars`."""
    return [
        Booking(
            wedding=row.slug,
            ceremony=row.ceremony_at,
            zone=ZoneInfo(row.timezone),
            invited=row.counts["invited_guests"],
            vendors=row.counts["vendors"],
            planners=row.counts["planners"],
            expected=row.counts["expected_connections"],
        )
        for row in rows
    ]


def _booking(wedding: Wedding) -> Booking:
    opens, closes = wedding.window
    return Booking(
        wedding=wedding.slug,
        ceremony=wedding.ceremony_at,
        zone=wedding.zone,
        invited=wedding.invited_guests,
        vendors=wedding.vendors,
        planners=wedding.planners,
        expected=wedding.expected_connections,
        window=EventWindow(wedding.slug, wedding.ceremony_at.timestamp(), opens.timestamp(), closes.timestamp()),
    )
