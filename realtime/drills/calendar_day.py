"""A day of the calendar at its own times, for a scaler that follows it: whose wedding, how many people, when it begins."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from realtime.policy.forecast import Booking, Forecast
from realtime.policy.simulation import MARGIN_S
from wedsync.weddings import calendars
from wedsync.weddings.calendars import COLUMNS, Row
from wedsync.weddings.forecasting import from_calendar
from wedsync.weddings.tables import Unreadable, decode


class Day(Struct, frozen=True):
    """`rows`: the weddings with as many people as are played; from `begins` to `ends`, `speed` times as fast."""

    rows: list[Row]
    begins: datetime
    ends: datetime
    speed: float

    @property
    def bookings(self) -> list[Booking]:
        return from_calendar(self.rows)

    @property
    def duration_s(self) -> float:
        """On the clock of the machine."""
        return (self.ends - self.begins).total_seconds() / self.speed


def read(path: Path) -> list[Row]:
    """The calendar. Raises ValueError with what is wrong with the file."""
    try:
        return calendars.read(decode(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except Unreadable as error:
        raise ValueError("\n".join([f"{path} cannot be read:", *map(str, error.mistakes[:20])])) from None


def planned(
    rows: Sequence[Row], people: int | None, speed: float, on: date | None = None, start: str = "", hours: float | None = None
) -> Day:
    """The day with so many people at its peak (None: as many as it says). `on`: the date its first wedding is moved to;
    `start`: HH:MM UTC, beyond 24:00 on the next date, and `hours` of it.

    Without them all of it, with two hours before the first and after the last wedding. Raises ValueError.
    """
    if on is not None and not 2000 <= on.year < 2100:
        raise ValueError(f"--date {on}: a year from 2000 to 2099")
    by = timedelta() if on is None else on - min(_local(row).date() for row in rows)
    share = people / (peak_of(from_calendar(rows)) or people) if people is not None else 1.0
    rows = [_as_played(row, share, by) for row in rows]
    begins_s = min(booking.begins_s[0] for booking in from_calendar(rows)) - MARGIN_S
    ends_s = max(booking.begins_s[-1] for booking in from_calendar(rows)) + MARGIN_S
    begins, ends = (datetime.fromtimestamp(at_s, UTC) for at_s in (begins_s, ends_s))
    if start:
        found = re.fullmatch(r"([0-4]?\d):([0-5]\d)", start)
        if found is None:
            raise ValueError(f"--from {start}: a time such as 16:00, or 26:00 for two o'clock in the night after it")
        first = min(_local(row).date() for row in rows)
        begins = datetime.combine(first, time(), UTC) + timedelta(hours=int(found[1]), minutes=int(found[2]))
    if hours is not None:
        ends = begins + timedelta(hours=hours)
    if ends <= begins or speed <= 0:
        raise ValueError("--hours and --speed must be more than 0")
    if not 0 < share <= 1:
        raise ValueError(f"--connections {people}: the calendar expects fewer at its peak, or it is less than 1")
    return Day(rows, begins, ends, speed)


def peak_of(bookings: Sequence[Booking]) -> float:
    """People expected when most are there."""
    forecast = Forecast(bookings)
    return max((forecast.expected(at_s) for booking in forecast.bookings for at_s in booking.begins_s), default=0.0)


def _local(row: Row) -> datetime:
    return row.ceremony_at.astimezone(ZoneInfo(row.timezone))


def _as_played(row: Row, share: float, by: timedelta) -> Row:
    ceremony_at = (_local(row) + by).astimezone(UTC)  # on the clock of the venue
    # Without a number of people these follow from who is invited and hired.
    told = ["expected_connections"] if row.counts["expected_connections"] else list(row.counts)
    played = {name: max(1, round(row.counts[name] * share)) for name in told if row.counts[name]}
    return Row(row.slug, row.venue, row.timezone, ceremony_at, row.counts | played)


def write(rows: Iterable[Row], path: Path) -> None:
    """As `manage.py import_calendar` reads it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in rows:
            counts = [row.counts[name] for name in COLUMNS[4:]]
            table.writerow([row.slug, row.venue, row.timezone, f"{_local(row):%Y-%m-%dT%H:%M}", *counts])
