"""How `drill scale` is asked for and carried out: which day, how fast, how many people and workers, and the picture of it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.apps import apps

from monitoring.day_chart import day_page
from realtime.clock import SystemClock
from realtime.drills.day import Day, planned, read
from realtime.drills.faults import FaultResult
from realtime.drills.load import Options, Progress
from realtime.drills.scale import PROFILE, ScaleDrill, fleet_of
from realtime.messages import Sender
from realtime.policy.scaling import Limits

HELP = "a day of the calendar at many times its speed: is there room before people come, does anybody notice?"
SPEED, PEOPLE, CAPACITY, MOST = 20.0, 0.1, 150, 8


def calendar_of_the_demo() -> Path:
    """A Saturday in June with 270 weddings."""
    return Path(apps.get_app_config("weddings").path) / "demo/calendar/saturday-june.csv"


def add_arguments(parser: ArgumentParser) -> None:
    """Those of the drill."""
    parser.add_argument("--calendar", type=Path, metavar="DAY.csv", help="default: 270 weddings of a Saturday in June")
    parser.add_argument(
        "--date", type=date.fromisoformat, help="move the calendar to the day YYYY-MM-DD, on the venues' clocks"
    )
    parser.add_argument("--from", dest="start", default="", metavar="HH:MM", help="begin at this time of the day, UTC")
    parser.add_argument("--hours", type=float, metavar="H", help="play so much of the day (default: all of it)")
    parser.add_argument("--speed", type=float, default=SPEED, metavar="N", help="times as fast as the day (default 20)")
    parser.add_argument("--people", type=float, default=PEOPLE, metavar="SHARE", help="of those expected (default 0.1)")
    parser.add_argument("--capacity", type=int, default=CAPACITY, metavar="N", help="people one worker carries (default 150)")
    parser.add_argument("--max-workers", type=int, default=MOST, metavar="N", help="the most workers (default 8)")
    parser.add_argument("--seed", type=int, default=1, help="which weddings are fuller or emptier (default 1)")
    parser.add_argument("--database-url", default="", help="a PostgreSQL for the drill's fleet (default: one of its own)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw the day as it was")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def day_of(options: dict[str, Any]) -> Day:
    """What to play. Raises DrillFailed and ValueError with a sentence."""
    rows = read(options["calendar"] or calendar_of_the_demo())
    if options["max_workers"] < 2 or options["capacity"] < 1:
        raise ValueError("--max-workers must be at least 2 and --capacity at least 1")
    return planned(rows, options["people"], options["speed"], options["date"], options["start"], options["hours"])


async def play(
    day: Day, options: dict[str, Any], ticket: Callable[[str, Sender], str], progress: Progress
) -> tuple[Options, FaultResult]:
    """The whole drill. Raises DrillFailed."""
    capacity, most = options["capacity"], options["max_workers"]
    people = sum(booking.expected for booking in day.bookings)
    asked = Options(PROFILE.name, max(2, people), day.duration_s, options["seed"])
    async with fleet_of(day, capacity, most, options["database_url"]) as (server, turned):
        drill = ScaleDrill(day, turned, capacity, most, asked, server, ticket, SystemClock(), progress)
        result = await drill.judged()
    if options["html"]:
        zone = ZoneInfo(Counter(row.timezone for row in day.rows).most_common(1)[0][0])
        title = f"{len(day.rows)} weddings, {day.begins:%A %d %B %Y}, as played at {day.speed:g} times its speed"
        limits = Limits(connections=capacity, most=most)
        options["html"].write_text(day_page(drill.chart(), limits, title, zone), encoding="utf-8")
    return asked, result
