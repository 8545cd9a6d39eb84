"""`manage.py drill`: rehearse a Saturday before it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from monitoring.drill_runs import record
from realtime.access import issue_ticket
from realtime.clock import SystemClock
from realtime.drills import faults, scaling
from realtime.drills.day import seed_day
from realtime.drills.deploy import DeployDrill
from realtime.drills.faults import FaultDrill, FaultResult
from realtime.drills.hang import HangDrill
from realtime.drills.kill import KillDrill
from realtime.drills.load import LoadDrill, Options, Result, profile_of
from realtime.drills.postgres import database
from realtime.drills.proxy import FrameTamper
from realtime.drills.redis_failover import RedisFailoverDrill
from realtime.drills.redis_kill import RedisKillDrill
from realtime.drills.redis_slow import RedisSlowDrill
from realtime.drills.server import DrillFailed, own_server, seed
from realtime.drills.slow_clients import SlowClientsDrill
from realtime.drills.storm import StormDrill
from realtime.drills.workloads import PROFILES, rooms
from realtime.messages import Sender

TICKET_S = 24 * 3_600
DEFAULT_CONNECTIONS = 1_000
"""What a laptop plays beside the server; the profile's own number with --connections."""
MISUSE = 2
_ALL = (KillDrill, HangDrill, DeployDrill, StormDrill, RedisKillDrill, RedisFailoverDrill, RedisSlowDrill, SlowClientsDrill)
FAULTS: dict[str, type[FaultDrill]] = {drill.name: drill for drill in _ALL}
FAULTS_HELP = {
    "kill": "one worker of two is killed: who comes back when, is anything lost?",
    "hang": "one worker stands still for 20 s: does anybody new get stuck in it?",
    "deploy": "all workers are replaced: does anybody notice?",
    "storm": "everybody loses the connection at once: who is back when?",
    "slow-clients": "one phone in twenty stops reading: do the others notice, does it miss anything?",
    "redis-failover": "the Redis in charge dies, later its successor stands still; Sentinel names another: is anything lost?",
    "redis-slow": "the Redis between the workers is slow, then silent: does delivery go on?",
    "redis-kill": "the Redis between the workers is gone for 30 s and comes back empty: does delivery go on?",
}


class Command(BaseCommand):
    help = "Play a wedding day against a server and judge what every client was shown. Exit: 0 passed, 1 failed, 2 misuse."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, parser_class=type(parser))
        listing = actions.add_parser("list", help="what can be played")
        listing.add_argument("--json", action="store_true", help="print one JSON object")
        load = actions.add_parser("load", help="so many people, so much said: did everybody see everything in time?")
        load.add_argument("--profile", required=True, metavar="NAME", help="see `drill list`")
        load.add_argument("--connections", type=int, metavar="N", help="default: the profile's, at most 1000")
        load.add_argument("--minutes", type=float, default=1.0, metavar="M", help="how long to play (default 1)")
        load.add_argument("--burst", action="store_true", help="a quarter of the weddings are in their peak minute")
        load.add_argument("--seed", type=int, default=1, help="the same seed says the same (default 1)")
        load.add_argument("--url", default="", help="http://host:port of a server with the same SECRET_KEY and the weddings")
        load.add_argument(
            "--database-url",
            default="",
            help="for the drill's own server (default: a temporary SQLite file); own: a PostgreSQL of its own",
        )
        load.add_argument("--fault", default="", metavar="FAULT", help=f"spoil one frame: {', '.join(FrameTamper.FAULTS)}")
        load.add_argument("--json", action="store_true", help="print one JSON object")
        for name, fault in FAULTS.items():
            breaking = actions.add_parser(name, help=FAULTS_HELP[name])
            breaking.add_argument("--profile", default="sat-june-10k-x10", metavar="NAME", help="default sat-june-10k-x10")
            breaking.add_argument("--connections", type=int, default=400, metavar="N", help="default 400")
            breaking.add_argument(
                "--minutes", type=float, default=fault.minutes, metavar="M", help=f"default {fault.minutes:g}"
            )
            breaking.add_argument("--seed", type=int, default=1, help="the same seed says the same (default 1)")
            breaking.add_argument("--workers", type=int, default=2, metavar="N", help="of the drill's own fleet (default 2)")
            breaking.add_argument(
                "--database-url",
                default="",
                help="for the drill's own fleet (default: a temporary SQLite file); own: a PostgreSQL of its own",
            )
            breaking.add_argument("--json", action="store_true", help="print one JSON object")
        scaling.add_arguments(actions.add_parser("scale", help=scaling.HELP))
        seeding = actions.add_parser("seed", help="make the weddings a load drill with --url needs, in this installation")
        seeding.add_argument("--profile", default="", metavar="NAME", help="without it: a JSON list of names on standard input")
        seeding.add_argument("--connections", type=int, metavar="N", help="as for load")
        seeding.add_argument(
            "--day", default="", metavar="FILE", help="instead: a calendar, for a scaler that acts (drill scale)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "list":
                self._list(as_json=options["json"])
            case "seed":
                self._seed(options)
            case "load":
                self._load(options)
            case "scale":
                self._scale(options)
            case name:
                self._fault(FAULTS[name], options)

    def _list(self, *, as_json: bool) -> None:
        if as_json:
            about = {p.name: {"connections": p.connections, "factor": p.factor, "about": p.about} for p in PROFILES.values()}
            self.stdout.write(json.dumps({"drills": ["load", *FAULTS, "scale"], "profiles": about}))
            return
        table = Table("profile of `drill load`", "connections", "what it is")
        for profile in PROFILES.values():
            table.add_row(profile.name, f"{profile.connections:,}", profile.about)
        self._console(sys.stdout).print(table)
        drills = Table("drill", "what it does")
        for name, what in (*FAULTS_HELP.items(), ("scale", scaling.HELP)):
            drills.add_row(name, what)
        self._console(sys.stdout).print(drills)

    def _seed(self, options: dict[str, Any]) -> None:
        if options["day"]:
            self.stdout.write(f"{seed_day(Path(options['day']))} weddings are there, and a scaler that acts.")
            return
        if options["profile"]:
            asked = self._options(options | {"minutes": 1.0, "seed": 1, "burst": False, "fault": ""})
            names = [room.name for room in rooms(PROFILES[asked.profile], asked.connections, asked.prefix)]
        else:
            names = json.load(sys.stdin)
        seed(names, SystemClock().now())
        self.stdout.write(f"{len(names)} weddings are there, {names[0]} to {names[-1]}.")

    def _options(self, options: dict[str, Any]) -> Options:
        known = PROFILES.get(options["profile"])
        default = min(known.connections, DEFAULT_CONNECTIONS) if known else DEFAULT_CONNECTIONS
        connections = default if options["connections"] is None else options["connections"]
        asked = Options(
            profile=options["profile"],
            connections=connections,
            duration_s=options["minutes"] * 60,
            seed=options["seed"],
            burst=options["burst"],
            fault=options["fault"],
        )
        try:
            rooms(profile_of(asked), asked.connections)
        except ValueError as error:
            raise CommandError(str(error), returncode=MISUSE) from None
        return asked

    def _load(self, options: dict[str, Any]) -> None:
        asked, started_at = self._options(options), SystemClock().now()
        if options["url"] and not options["url"].startswith("http://"):
            raise CommandError(f"--url {options['url']}: expected http://host:port", returncode=MISUSE)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                result = runner.run(self._play(asked, options["url"].rstrip("/"), options["database_url"]))
            except DrillFailed as error:
                raise CommandError(f"the drill could not be carried out: {error}", returncode=MISUSE) from None
        if not asked.fault:  # a frame that was spoiled on purpose says nothing of the server
            _keep("load", asked, started_at, result, msgspec.json.encode(result))
        if options["json"]:
            self.stdout.write(msgspec.json.encode(result).decode())
        else:
            self._print(result)
        if not result.passed:
            sys.exit(1)

    def _fault(self, drill: type[FaultDrill], options: dict[str, Any]) -> None:
        """One that breaks something, on a fleet of its own."""
        asked, started_at = self._options(options | {"burst": False, "fault": ""}), SystemClock().now()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                result = runner.run(self._break(drill, asked, options["workers"], options["database_url"]))
            except DrillFailed as error:
                raise CommandError(f"the drill could not be carried out: {error}", returncode=MISUSE) from None
        _keep(drill.name, asked, started_at, result, faults.encode(result))
        if options["json"]:
            self.stdout.write(faults.encode(result).decode())
        else:
            self._print(result.load, result)
        if not result.passed:
            sys.exit(1)

    def _scale(self, options: dict[str, Any]) -> None:
        """A day of the calendar on a fleet of its own that grows and shrinks."""
        started_at = SystemClock().now()
        try:
            day = scaling.day_of(options)
            with self._bar() as progress, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                asked, result = runner.run(scaling.play(day, options, _tickets(SystemClock()), progress))
        except (DrillFailed, ValueError) as error:
            raise CommandError(f"the drill could not be carried out: {error}", returncode=MISUSE) from None
        _keep("scale", asked, started_at, result, faults.encode(result))
        if options["json"]:
            self.stdout.write(faults.encode(result).decode())
        else:
            self._print(result.load, result)
        if not result.passed:
            sys.exit(1)

    async def _break(self, drill: type[FaultDrill], asked: Options, workers: int, database_url: str) -> FaultResult:
        clock = SystemClock()
        names = [room.name for room in rooms(profile_of(asked), asked.connections, asked.prefix)]
        with self._bar() as progress, database(database_url) as url:
            async with (
                drill.surroundings() as env,
                own_server(names, clock, database_url=url, env=env, workers=workers) as server,
            ):
                return await drill(asked, server, _tickets(clock), clock, progress).judged()

    @contextmanager
    def _bar(self) -> Iterator[Callable[[str, float], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console(sys.stderr), transient=True) as bar:
            task = bar.add_task("starting a server", total=1.0)
            yield lambda what, share: bar.update(task, description=what, completed=share)

    async def _play(self, asked: Options, url: str, database_url: str) -> Result:
        clock = SystemClock()

        ticket = _tickets(clock)
        with self._bar() as progress:
            if url:
                return await LoadDrill(asked, url, ticket, clock, progress).run()
            names = [room.name for room in rooms(profile_of(asked), asked.connections, asked.prefix)]
            with database(database_url) as own:
                async with own_server(names, clock, database_url=own) as server:
                    return await LoadDrill(asked, server.url, ticket, clock, progress).run()

    def _print(self, result: Result, fault: FaultResult | None = None) -> None:
        console = self._console(sys.stdout)
        table = Table("figure", "value", title=f"{result.profile}, {result.duration_s:g} s, seed {result.seed}")
        for name, value in _figures(result):
            table.add_row(name, value)
        console.print(table)
        latency = Table("priority", "seen", "p50 ms", "p95 ms", "p99 ms", title="from the intended moment to the screen")
        for name, measured in result.latency.items():
            row = (measured.p50_ms, measured.p95_ms, measured.p99_ms)
            latency.add_row(name, f"{measured.count:,}", *("not measured" if v is None else f"{v:.1f}" for v in row))
        console.print(latency)
        if fault is not None:
            facts = Table("fact", "value", title=f"drill {fault.drill}")
            for fact, measured_as in fault.facts.items():
                facts.add_row(fact.replace("_", " "), "not measured" if measured_as is None else str(measured_as))
            console.print(facts)
        passed, reason = (result.passed, result.reason) if fault is None else (fault.passed, fault.reason)
        if passed:
            console.print(
                "[bold green]PASS[/]: everything acknowledged was seen, once, in order, by those who may, and in time"
            )
        else:
            console.print("[bold red]FAIL[/]", end=": ")
            console.print(reason, markup=False)

    def _console(self, file: Any) -> Console:
        return Console(file=file, soft_wrap=True)


def _keep(name: str, asked: Options, started_at: datetime, result: Result | FaultResult, found: bytes) -> None:
    """For readiness and for the comparison with the next run."""
    record(
        name,
        passed=result.passed,
        verdict=result.reason,
        options={
            "profile": asked.profile,
            "connections": asked.connections,
            "minutes": asked.duration_s / 60,
            "seed": asked.seed,
        },
        result=msgspec.json.decode(found),
        started_at=started_at,
        ended_at=SystemClock().now(),
    )


def _tickets(clock: SystemClock) -> Callable[[str, Sender], str]:
    return lambda room, member: issue_ticket(room, member, now=clock.now(), ttl_s=TICKET_S, reusable=True)


def _figures(result: Result) -> list[tuple[str, str]]:
    broken = {violation.name: violation.count for violation in result.violations}
    names = ("lost", "twice", "out_of_order", "phantom", "leaked", "stored_twice", "hole")
    ephemeral = f"{result.ephemeral_delivered:,} of {result.ephemeral_expected:,}"
    refused = ", ".join(f"{n} {code}" for code, n in result.refused.items()) or "0"
    return [
        ("connections in weddings", f"{result.connections:,} in {result.rooms:,}"),
        ("publishes", f"{result.publishes:,}"),
        ("deliveries", f"{result.deliveries:,}"),
        ("durable ones expected", f"{result.expected:,}"),
        *((name.replace("_", " "), str(broken.get(name, 0))) for name in names),
        ("ephemeral, delivered", ephemeral),
        ("refused by the server", refused),
        ("without an answer", str(result.unanswered)),
        ("reconnections, gaps healed, repeats ignored", f"{result.reconnects}, {result.gaps}, {result.repeats}"),
        ("CPU of this generator", f"{result.generator_cpu_percent:g} % of a core"),
    ]
