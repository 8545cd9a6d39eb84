"""`manage.py scale`: how many workers and why; a pin, a mode; a day replayed through the policy."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress

from monitoring import telling
from monitoring.day_chart import day_chart, day_page, summary
from monitoring.models import ScalingEvent, ScalingPin
from monitoring.models.scaling import PIN_MAX, orders
from realtime.clock import SystemClock
from realtime.drills.calendar_day import planned, read
from realtime.management.shell import ShellCommand, unwritable
from realtime.policy.scaling import Limits
from realtime.policy.simulation import Simulation, simulate

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(min|m|h)")
MISUSE = 2
SIMULATED = dict.fromkeys(("capacity", "max_workers", "date", "connections", "svg", "html")) | {"turnout": 1.0, "seed": 1}
"""{option of a simulation: when it is not given}."""
TURNOUT_MAX = 100.0
"""Of whom a calendar expects; more is a slip of the hand."""
clock = SystemClock()


def span(text: str) -> timedelta:
    """2h, 90m, 1.5h, at most what a pin may last. Raises CommandError for anything else."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise CommandError(f"--for {text}: not a time such as 2h or 90m", returncode=MISUSE)
    hours, most = float(match[1]) / (1 if match[2] == "h" else 60), PIN_MAX.total_seconds() / 3_600
    if not 0 < hours <= most:
        raise CommandError(f"--for {text}: more than 0 and within {most:g} h", returncode=MISUSE)
    return timedelta(hours=hours)


def misuse(options: dict[str, Any]) -> str:
    """What cannot be meant, before anything is done; empty when all can."""
    for name in ("capacity", "max_workers", "connections"):
        if options[name] is not None and options[name] < 1:
            return f"--{name.replace('_', '-')} {options[name]}: at least 1"
    if not 0 < options["turnout"] <= TURNOUT_MAX:  # nan is neither
        return f"--turnout {options['turnout']:g}: more than 0, at most {TURNOUT_MAX:g}"
    if options["pin"] is not None and not (options["who"].strip() and options["reason"].strip()):
        return "--who and --reason are needed: a pin has a person and a reason"
    if (options["unpin"] or options["mode"]) and not options["who"].strip():
        return "--who is needed: your name"
    for name, usual in SIMULATED.items():
        if options[name] != usual and not options["simulate"]:
            return f"--{name.replace('_', '-')}: only with --simulate"
    for name in ("svg", "html"):
        if options[name] is not None and (why := unwritable(options[name])):
            return f"--{name} {options[name]}: {why}"
    return ""


class Command(ShellCommand):
    help = "Show how many workers there are and should be, and why. Pin a number, choose the mode, simulate a day."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--pin", type=int, metavar="N", help="so many workers, whatever the load says (with --for, --who, --reason)"
        )
        what.add_argument("--unpin", action="store_true", help="end the pin (with --who)")
        what.add_argument("--mode", choices=["off", "advise", "auto"], help="(with --who)")
        what.add_argument("--simulate", type=Path, metavar="DAY.csv", help="replay a calendar of weddings, minute by minute")
        parser.add_argument(
            "--for", dest="span", default="2h", help="how long the pin holds: 2h, 90m (default 2h, at most 24h)"
        )
        parser.add_argument("--who", default="", help="your name")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--capacity", type=int, help="people one worker carries (default: as configured)")
        parser.add_argument("--max-workers", type=int, help="the most workers (default for a simulation: as many as it takes)")
        parser.add_argument(
            "--date", type=date.fromisoformat, help="move the calendar to the day YYYY-MM-DD, on the venues' clocks"
        )
        parser.add_argument(
            "--connections", type=int, help="so many people expected at the peak (default: as the calendar says)"
        )
        parser.add_argument("--turnout", type=float, default=1.0, help="people who come for each one expected (default 1)")
        parser.add_argument(
            "--seed", type=int, default=1, help="which weddings are fuller or emptier than expected (default 1)"
        )
        parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the day")
        parser.add_argument("--html", type=Path, metavar="FILE", help="the same as a page, with every decision")
        parser.add_argument("--json", action="store_true", help="print for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if wrong := misuse(options):
            raise CommandError(wrong, returncode=MISUSE)
        if options["simulate"]:
            self._simulate(options)
            return
        try:
            self._say(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=MISUSE) from None
        self._show(options["json"])

    def _say(self, options: dict[str, Any]) -> None:
        now, who = clock.now(), options["who"]
        if options["pin"] is not None:
            until = now + span(options["span"])
            telling.pin(ScalingPin(at=now, until=until, workers=options["pin"], who=who, reason=options["reason"]), now)
        elif options["unpin"]:
            telling.unpin(who, now)
        elif options["mode"]:
            telling.set_mode(options["mode"], who, now)

    def _show(self, as_json: bool) -> None:
        said, last = orders(clock.now()), ScalingEvent.objects.first()
        if as_json:
            decision = (
                {"at": last.at.isoformat(), "have": last.have, "want": last.want, "reason": last.reason} if last else None
            )
            self.stdout.write(json.dumps({"decision": decision, "mode": said.mode, "pin": msgspec.to_builtins(said.pin)}))
            return
        if last is None:
            self.stdout.write("No decision yet: does the control loop run?")
        else:
            self.stdout.write(f"{last.at:%Y-%m-%d %H:%M:%S} UTC  have {last.have}, want {last.want}: {last.reason}")
            self.stdout.write("  asked for: " + ", ".join(f"{name} {n:g}" for name, n in sorted(last.inputs.items())))
        now = clock.now()
        pin = ScalingPin.objects.filter(at__lte=now, until__gt=now).first()
        self.stdout.write(f"mode {said.mode}" + (f"; pinned: {pin}" if pin else ""))

    def _simulate(self, options: dict[str, Any]) -> None:
        try:
            bookings = planned(read(options["simulate"]), options["connections"], 1.0, options["date"]).bookings
        except ValueError as error:
            raise CommandError(str(error), returncode=MISUSE) from None
        config = Limits.of(settings.REALTIME)
        limits = replace(
            config, connections=float(options["capacity"] or config.connections), most=options["max_workers"] or 1_000, least=1
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("minute by minute", total=1.0)
            done = simulate(
                bookings,
                limits,
                seed=options["seed"],
                turnout=options["turnout"],
                progress=lambda share: bar.update(task, completed=share),
            )
        if not done.points:
            raise CommandError("no wedding of this calendar says how many people come", returncode=MISUSE)
        zone = ZoneInfo(Counter(booking.zone.key for booking in bookings).most_common(1)[0][0])
        first = min(booking.ceremony.astimezone(booking.zone).date() for booking in bookings)
        title = f"{len(bookings)} weddings, {first:%A} {first.day} {first:%B %Y}"
        for path, draw in ((options["svg"], day_chart), (options["html"], day_page)):
            if path is not None:
                _write(path, draw(done, limits, title, zone))
        self._report(done, limits, title, options["json"])

    def _report(self, done: Simulation, limits: Limits, title: str, as_json: bool) -> None:
        if as_json:
            self.stdout.write(msgspec.json.encode(done).decode())
            return
        self.stdout.write(f"{title}\n{summary(done, limits)}")
        if done.unknown:
            self.stdout.write(f"Not counted, they say nothing of their people: {', '.join(done.unknown)}.")


def _write(path: Path, drawn: str) -> None:
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", returncode=MISUSE) from None
