"""`manage.py deploy`: replace all workers of the running fleet one by one, on nobody's day; nobody sees a gap."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from monitoring.models.scaling import WindowOverride, overrides
from monitoring.telling import record
from realtime.clock import SystemClock
from realtime.fleet import remote
from realtime.management.shell import ShellCommand
from realtime.policy.windows import EventWindow, held_by
from wedsync.weddings.forecasting import bookings

SILENCE_S = 120.0
"""A worker may take a minute to be empty, and half a minute to be ready."""
AROUND = timedelta(days=3)
"""A run sheet may begin days before its ceremony."""
OVERRIDE = timedelta(hours=1)
"""Long enough for a large fleet; what else is to be moved needs an override of its own."""
SHOWN = 5
MISUSE = 2


class Command(ShellCommand):
    help = (
        "Replace all workers of the running fleet one by one, and the rest after them. Refused while a wedding has its day, "
        "unless somebody answers for it. Exit: 0 done, 1 not done, 2 misuse."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="a new release is started", help="told to the clients that are moved")
        parser.add_argument("--override", default="", metavar="WHY", help="deploy although weddings have their day (with --by)")
        parser.add_argument("--by", default="", metavar="NAME", help="who answers for the override")

    def handle(self, *args: Any, **options: Any) -> None:
        self._answered_for(options["override"], options["by"])
        last: dict[str, Any] = {}
        try:
            fleet = next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))
            self._not_on_a_day()
            last = self._deploy(f"deploy: {options['reason']}", len(fleet["workers"]))
        except KeyboardInterrupt:
            raise CommandError("the fleet goes on with it; manage.py fleet shows how far it is") from None
        except (remote.NoFleet, OSError, StopIteration) as error:
            raise CommandError(str(error) or "the supervisor does not answer") from None
        if not last.get("done"):
            raise CommandError(str(last.get("error", "the supervisor ended before it was done")))
        self.stdout.write(f"{len(fleet['workers'])} workers were replaced, one by one.")

    def _answered_for(self, why: str, who: str) -> None:
        """Keep the override. Raises CommandError when it names no person or no reason."""
        if not why and not who:
            return
        now = SystemClock().now()
        held = held_by("deploy", [booking.day for booking in bookings(now, AROUND)], now.timestamp())
        about = ", ".join(window.wedding for window in held) or "no wedding has its day"
        try:
            record(WindowOverride(at=now, until=now + OVERRIDE, who=who, reason=why), who, "deploy", why, now, about)
        except ValidationError as error:
            raise CommandError(f"{' '.join(error.messages)} (--override WHY --by NAME)", returncode=MISUSE) from None

    def _not_on_a_day(self) -> None:
        now = SystemClock().now()
        days = [booking.day for booking in bookings(now, AROUND)]
        held = held_by("deploy", days, now.timestamp(), overrides(now))
        if held:
            raise CommandError(f"{refusal(held, days)}\nOr answer for it: --override WHY --by NAME")

    def _deploy(self, reason: str, workers: int) -> dict[str, Any]:
        """The last answer of the supervisor."""
        last: dict[str, Any] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task("deploying", total=workers)
            for last in remote.ask(settings.VAR_DIR, {"do": "deploy", "reason": reason}, SILENCE_S):
                bar.update(task, advance=1 if "replaced" in last else 0, description=str(last.get("step", "deploying")))
        return last


def refusal(held: Sequence[EventWindow], days: Sequence[EventWindow]) -> str:
    """Whose day it is, and when nobody's day it will be."""
    names = ", ".join(f"{window.wedding} until {_clock(window.closes_s)}" for window in held[:SHOWN])
    more = f" and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
    free_s = max(window.closes_s for window in held)
    for window in sorted(days, key=lambda window: window.opens_s):
        if window.opens_s <= free_s:
            free_s = max(free_s, window.closes_s)
    have = "1 wedding has its day" if len(held) == 1 else f"{len(held)} weddings have their day"
    return f"Nothing is deployed now: {have}: {names}{more}. It is nobody's day from {_clock(free_s)} on."


def _clock(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%d %B %H:%M} UTC"
