"""`manage.py drill`: rehearse a Saturday before it comes."""

from __future__ import annotations

import asyncio
import getpass
import json
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from monitoring import drill_runs
from monitoring.drill_page import html
from monitoring.models.audit import append
from monitoring.page_drill import WAIT_S, NoReceivers, page
from realtime.addresses import is_address
from realtime.clock import SystemClock
from realtime.drills import faults, leftovers, live, series
from realtime.drills.catalogue import DRILLS, PAGE_ME, about
from realtime.drills.faults import FaultDrill, FaultResult
from realtime.drills.load import Options
from realtime.drills.needs import refusal
from realtime.drills.postgres import OWN
from realtime.drills.printing import print_list, print_outcomes, print_result
from realtime.drills.proxy import FrameTamper
from realtime.drills.running import HIDE, Where, carry_out
from realtime.drills.server import DrillFailed, seed
from realtime.drills.workloads import PROFILES, rooms
from realtime.management.shell import ShellCommand, unwritable

MISUSE = 2
MINUTES_MAX = 7 * 24 * 60
DATABASES = ("postgres", "postgresql", "sqlite")
COMMON = {
    "action", "profile", "connections", "minutes", "seed", "workers", "database_url", "fault", "json", "html", "live",
    "override", "by", "url", "burst",
    "verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks",
}  # fmt: skip
"""Options that are not the drill's own."""


class Command(ShellCommand):
    help = "Play a wedding day and judge what every client was shown. Exit: 0 passed, 1 failed, 2 refused or misused."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, parser_class=type(parser))
        listing = actions.add_parser(
            "list", help="what can be played: what each injects, promises, and how soon all must be well"
        )
        listing.add_argument("--json", action="store_true", help="print one JSON object")
        for name, drill in DRILLS.items():
            one = actions.add_parser(name, help=drill.injects.replace("%", "%%"), description=_described(drill))
            _common(one, drill)
            drill.arguments(one)
        every = actions.add_parser("all", help="one drill after the other, each on a fleet of its own, and a table in the end")
        every.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all of `drill list`)")
        _shared(every, "default: each drill's own")
        every.add_argument("--reports", type=Path, metavar="FOLDER", help="write the page and the JSON of each into it")
        paging = actions.add_parser("page-me", help="does a page reach a person? It goes the way of every page")
        paging.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who asks for it (default: your login)")
        paging.add_argument(
            "--wait", type=float, nargs="?", const=WAIT_S, default=0.0, metavar="S",
            help=f"wait until somebody has acknowledged it in the admin, and keep the result (default {WAIT_S:g} s)",
        )  # fmt: skip
        paging.add_argument("--json", action="store_true", help="print one JSON object")
        seeding = actions.add_parser("seed", help="make the weddings a load drill with --url needs, in this installation")
        seeding.add_argument("--profile", default="", metavar="NAME", help="without it: a JSON list of names on standard input")
        seeding.add_argument("--connections", type=int, default=1_000, metavar="N", help="as for load (default 1000)")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "list":
                self._list(as_json=options["json"])
            case "seed":
                self._seed(options)
            case "page-me":
                self._page(options)
            case "all":
                self._all(options)
            case name:
                self._drill(DRILLS[name], options)

    def _list(self, *, as_json: bool) -> None:
        drills = [*(about(drill) for drill in DRILLS.values()), PAGE_ME]
        if as_json:
            profiles = {p.name: {"connections": p.connections, "factor": p.factor, "about": p.about} for p in PROFILES.values()}
            self.stdout.write(json.dumps({"drills": drills, "profiles": profiles}))
            return
        print_list(self._console(sys.stdout), drills, PROFILES.values())

    def _seed(self, options: dict[str, Any]) -> None:
        if options["profile"]:
            profile = PROFILES.get(options["profile"])
            if profile is None:
                raise CommandError(
                    f"--profile {options['profile']}: there is none; see manage.py drill list", returncode=MISUSE
                )
            if options["connections"] < 2:
                raise CommandError(f"--connections {options['connections']}: at least 2", returncode=MISUSE)
            names = [room.name for room in rooms(profile, options["connections"])]
        else:
            try:
                names = msgspec.json.decode(sys.stdin.read(), type=list[str])
            except msgspec.MsgspecError as error:
                raise CommandError(f"a JSON list of names is read from standard input: {error}", returncode=MISUSE) from None
            if not names:
                raise CommandError("the list of names is empty", returncode=MISUSE)
        try:
            seed(names, SystemClock().now())
        except DatabaseError as error:
            raise CommandError(f"the weddings cannot be made: {error}", returncode=MISUSE) from None
        self.stdout.write(f"{len(names)} weddings are there, {names[0]} to {names[-1]}.")

    def _page(self, options: dict[str, Any]) -> None:
        """Exit: 0 sent (with --wait: acknowledged), 1 not acknowledged in time, 2 nobody is to be paged."""
        if not options["wait"] >= 0:
            raise CommandError(f"--wait {options['wait']:g}: 0 seconds or more", returncode=MISUSE)
        try:
            with self._bar("paging") as progress:
                run = page(options["by"], options["wait"], SystemClock(), time.sleep, progress)
        except (NoReceivers, DatabaseError) as error:
            raise CommandError(str(error), returncode=MISUSE) from None
        except KeyboardInterrupt:
            raise CommandError("not waited for any longer; the page itself goes on", returncode=MISUSE) from None
        if options["json"]:
            self.stdout.write(json.dumps(run.result | {"passed": run.passed, "reason": run.verdict}))
        elif not options["wait"]:
            self.stdout.write(
                "The page is on its way. Acknowledge it in the admin, under Alerts: that shows that it reached you."
            )
        elif run.passed:
            took_s = run.result["acknowledged_after_s"]
            self.stdout.write(f"PASS: {run.result['acknowledged_by']} acknowledged the page after {took_s} s.")
        else:
            self.stdout.write(f"FAIL: {run.verdict}")
        if not run.passed:
            sys.exit(1)

    # -- all of them --------------------------------------------------------------------------------------------------

    def _all(self, options: dict[str, Any]) -> None:
        """Exit: 0 each passed or was refused by name for what is not here, 1 one failed, 2 misuse or stopped."""
        _sensible(options)
        if unknown := [name for name in options["names"] if name not in DRILLS]:
            raise CommandError(f"there is no drill {unknown[0]!r} to play with the others; see `drill list`", returncode=MISUSE)
        drills = [drill for name, drill in DRILLS.items() if name in (options["names"] or DRILLS)]
        reports: Path | None = options["reports"]
        if reports is not None:
            try:
                reports.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(f"--reports {reports}: {error.strerror}", returncode=MISUSE) from None
        asked = series.Asked(options["connections"], options["minutes"], options["seed"], options["database_url"], reports)
        clock, outcomes = SystemClock(), list[series.Outcome]()
        began_s, stopped = clock.monotonic(), False
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell has its background jobs ignore Ctrl-C
            signal.signal(number, signal.default_int_handler)
        try:
            with self._bar_and_lines("starting") as (progress, lines):
                for outcome in series.played(drills, asked, clock, progress):
                    outcomes.append(outcome)
                    said = f"{outcome.drill}: {outcome.verdict} after {outcome.took_s:.0f} s: {outcome.said}"
                    lines.print(said, markup=False, highlight=False)
        except KeyboardInterrupt:
            stopped = True
        if not options["names"]:
            outcomes.append(series.Outcome("page-me", "refused", 0.0, "it needs a person: manage.py drill page-me --wait"))
        passed = not stopped and all(outcome.verdict != "failed" for outcome in outcomes)
        took_s = round(clock.monotonic() - began_s, 1)
        if options["json"]:
            found = {"passed": passed, "took_s": took_s, "drills": outcomes}
            self.stdout.write(msgspec.json.encode(found).decode())
        else:
            print_outcomes(self._console(sys.stdout), outcomes, took_s)
        if stopped:
            raise CommandError("stopped; what the drill that was played had made is gone", returncode=MISUSE)
        if not passed:
            sys.exit(1)

    # -- one drill ----------------------------------------------------------------------------------------------------

    def _drill(self, drill: type[FaultDrill], options: dict[str, Any]) -> None:
        _sensible(options)
        if missing := refusal(drill.name, drill.needs):
            raise CommandError(missing, returncode=MISUSE)
        asked, where = self._asked(drill, options), self._where(options)
        if where.live:
            self._permitted(drill, asked, options)
        elif not where.url:
            _some_key()
        for left in leftovers.sweep():
            self.stderr.write(f"cleared away what an earlier drill left: {left}")
        started_at = SystemClock().now()
        result = self._carried_out(drill, asked, where)
        found = msgspec.json.decode(faults.encode(result))
        run = drill_runs.record(
            drill.name,
            passed=result.passed,
            verdict=result.reason,
            options=_kept_options(asked, where),
            result=found,
            started_at=started_at,
            ended_at=SystemClock().now(),
            keep=not asked.fault,  # a message that was spoiled on purpose says nothing of the server
        )
        if options["json"]:
            self.stdout.write(json.dumps(found))
        else:
            print_result(self._console(sys.stdout), result)
        if options["html"] is not None:
            self._write(options["html"], html(run, drill_runs.last_passed(drill.name, started_at)))
        if not result.passed:
            sys.exit(1)

    def _asked(self, drill: type[FaultDrill], options: dict[str, Any]) -> Options:
        asked = Options(
            profile=options["profile"],
            connections=options["connections"],
            duration_s=options["minutes"] * 60,
            seed=options["seed"],
            burst=bool(options.get("burst")),
            fault=options.get("fault") or "",
            prefix=live.prefix() if options["live"] else "load",
            extra={name: value for name, value in options.items() if name not in COMMON},
        )
        try:
            asked = drill.settled(asked)
            drill.plan_of(asked)
        except ValueError as error:
            raise CommandError(str(error), returncode=MISUSE) from None
        return asked

    def _where(self, options: dict[str, Any]) -> Where:
        url = (options.get("url") or "").rstrip("/")
        if url and not is_address(url, "http"):
            raise CommandError(f"--url {url}: expected http://host:port", returncode=MISUSE)
        if options["live"] and (url or options["database_url"]):
            raise CommandError("--live is the fleet of this installation: neither --url nor --database-url", returncode=MISUSE)
        if (options["override"] is not None or options["by"]) and not (
            options["live"] and options["override"] and options["by"]
        ):
            raise CommandError('an override is --live --override "why it cannot wait" --by YOUR-NAME', returncode=MISUSE)
        return Where(options["workers"], options["database_url"], url, options["live"], bool(options["override"]))

    def _permitted(self, drill: type[FaultDrill], asked: Options, options: dict[str, Any]) -> None:
        now = SystemClock().now()
        try:
            live.running()
            live.check(drill, asked.connections, now, overridden=bool(options["override"]))
            if options["override"]:
                weddings = ", ".join(live.open_weddings(now)) or "no wedding has its day"
                append(options["by"], f"drill {drill.name} --live", options["override"], now, weddings)
        except live.Refused as error:
            raise CommandError(str(error), returncode=MISUSE) from None
        except DatabaseError as error:
            raise CommandError(f"not on a running fleet while a database does not answer: {error}", returncode=MISUSE) from None

    def _carried_out(self, drill: type[FaultDrill], asked: Options, where: Where) -> FaultResult:
        async def main(progress: Callable[[str, float], None]) -> FaultResult:
            task = asyncio.current_task()
            assert task is not None
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            return await carry_out(drill, asked, where, SystemClock(), progress)

        try:
            with self._bar() as progress, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(main(progress))
        except (DrillFailed, OSError) as error:  # a full disk, no more processes: what it had made is gone all the same
            raise CommandError(f"the drill could not be carried out: {error}", returncode=MISUSE) from None
        except live.Refused as error:
            raise CommandError(str(error), returncode=MISUSE) from None
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise CommandError("stopped; what the drill had made is gone", returncode=MISUSE) from None

    @contextmanager
    def _bar(self, first: str = "starting a server") -> Iterator[Callable[[str, float], None]]:
        with self._bar_and_lines(first) as (progress, _):
            yield progress

    @contextmanager
    def _bar_and_lines(self, first: str) -> Iterator[tuple[Callable[[str, float], None], Console]]:
        """What moves the bar, and where lines are printed above it."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console(sys.stderr), transient=True) as bar:
            task = bar.add_task(first, total=1.0)
            yield lambda what, share: bar.update(task, description=what, completed=share), bar.console

    def _write(self, path: Path, page: str) -> None:
        try:
            path.write_text(page, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"the report cannot be written to {path}: {error.strerror}", returncode=MISUSE) from None

    def _console(self, file: Any) -> Console:
        return Console(file=file, soft_wrap=True)


def _common(parser: CommandParser, drill: type[FaultDrill]) -> None:
    """What every drill understands."""
    parser.add_argument(
        "--profile", default=drill.usual_profile, metavar="NAME", help=f"see `drill list` (default {drill.usual_profile})"
    )
    _shared(parser, f"default {drill.people}", drill.people, f"default {drill.minutes:g}", drill.minutes)
    parser.add_argument(
        "--workers",
        type=int,
        default=drill.workers,
        metavar="N",
        help=f"of its own fleet; 0: one Daphne (default {drill.workers})",
    )
    parser.add_argument(
        "--live", action="store_true", help="on the running fleet, in weddings of its own, instead of its own fleet"
    )
    parser.add_argument("--override", metavar="REASON", help="with --live, though a real wedding has its day; kept for ever")
    parser.add_argument("--by", default="", metavar="NAME", help="who takes the responsibility for --override")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    if settings.REALTIME.load_testing:  # of tests: nothing spoils messages where real people are
        faults_known = [*FrameTamper.FAULTS, HIDE]
        parser.add_argument("--fault", default="", choices=faults_known, help="break a guarantee on purpose, to see it found")


def _shared(
    parser: CommandParser, people: str, connections: int | None = None, long: str = "", minutes: float | None = None
) -> None:
    """What `all` passes on, too."""
    parser.add_argument("--connections", type=int, default=connections, metavar="N", help=people)
    parser.add_argument("--minutes", type=float, default=minutes, metavar="M", help=long or people)
    parser.add_argument("--seed", type=int, default=1, help="the same seed does and says the same (default 1)")
    parser.add_argument("--database-url", default="", help="for its own fleet (default: a SQLite file; own: a PostgreSQL)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _sensible(options: dict[str, Any]) -> None:
    """Raises CommandError for an option that cannot be meant; before anything is started."""
    people, minutes, workers = (options.get(name) for name in ("connections", "minutes", "workers"))
    url, page = options["database_url"], options.get("html")
    wrong = ""
    if people is not None and people < 2:
        wrong = f"--connections {people}: at least 2, somebody has to see what somebody says"
    elif minutes is not None and not 0 < minutes <= MINUTES_MAX:
        wrong = f"--minutes {minutes:g}: more than 0, at most a week"
    elif workers is not None and workers < 0:
        wrong = f"--workers {workers}: 0 for one Daphne, or how many the fleet has"
    elif url and url != OWN and urlsplit(url).scheme not in DATABASES:
        wrong = f"--database-url {url}: postgres://user@host/name, sqlite:///path, or {OWN} for a PostgreSQL of its own"
    elif page is not None and (why := unwritable(page)):
        wrong = f"--html {page}: {why}"
    if wrong:
        raise CommandError(wrong, returncode=MISUSE)


def _described(drill: type[FaultDrill]) -> str:
    said = f"Injects: {drill.injects}. Invariant: {drill.invariant}. Recovery-time goal: {drill.recovery}."
    return said.replace("%", "%%")


def _kept_options(asked: Options, where: Where) -> dict[str, Any]:
    kept = {"profile": asked.profile, "connections": asked.connections, "minutes": asked.duration_s / 60, "seed": asked.seed}
    plain = {name: value for name, value in asked.extra.items() if isinstance(value, str | int | float) and value}
    return kept | plain | ({"live": True} if where.live else {})


def _some_key() -> None:
    """A fleet of the drill's own needs no secret of this installation."""
    try:
        settings.SECRET_KEY  # noqa: B018 - asking is what raises
    except ImproperlyConfigured:
        settings.SECRET_KEY = secrets.token_urlsafe(32)
