"""`drill scale`: a day of the calendar at many times its speed, on real workers, with a scaler that acts.

Injection: people come and go as the calendar says, each wedding fuller or emptier than expected, and say what a Saturday says.
Invariant: there is room before they come, workers come and go without changing their mind, and nobody sees any of it.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from asgiref.sync import sync_to_async
from django.conf import settings
from msgspec import Struct
from msgspec.structs import replace

from monitoring.day_chart import day_page
from monitoring.drill_runs import switch_off
from realtime.client import Client, Fleet
from realtime.client_events import Closed, Event, Moved
from realtime.clock import SystemClock, TurnedClock
from realtime.drills.calendar_day import Day, planned, read, write
from realtime.drills.faults import Ended, FaultDrill, FaultResult
from realtime.drills.history import Recorder, Seen
from realtime.drills.load import Options
from realtime.drills.needs import Need
from realtime.drills.owner import tag
from realtime.drills.postgres import Postgres, binaries
from realtime.drills.redis_kill import need as redis_server
from realtime.drills.server import FOLDER, OF_THE_INSTALLATION, manage
from realtime.drills.workloads import PROFILES, SATURDAY, Planned, RoomPlan, mix, schedule
from realtime.messages import Sender
from realtime.policy.forecast import Forecast
from realtime.policy.resending import OutboxFull
from realtime.policy.scaling import SHARE_CONNECTIONS, Limits, Load, Orders, Past, desired_workers
from realtime.policy.simulation import Point, Simulation, actual_people
from realtime.saying import durable
from realtime.session import Phase

STEP_S = 0.25
LOOK_S = 1.0
JOINING_MAX = 64
STARTED_S, WAIT_S = 10.0, 90.0
"""Of the machine: until the day begins; and for the scaler to have as many workers as its beginning asks for."""
CALENDAR = Path(settings.BASE_DIR) / "wedsync/weddings/demo/calendar/saturday-june.csv"
SPEED = 20.0
QUIET = ("burn-now", "burn-half-hour", "burn-day", "wedding-late")
"""Rules that are off while a day is played: many workers share a few cores here, and latency has a drill of its own."""
LEAST = 2
FULLER = 3
"""A wedding has at most so many times the people it expects."""
LAME_SHARE = 0.01
"""Of the looks: eight workers share a few cores here; one that is stalled for a second has room for its people all the same."""
NOTED_MAX = 20
SHORT_PERCENT = 20.0
"""Of the time: on a machine that has its cores for the drill it is a few."""
DAY_H, OUTS, INS = 16.0, 5, 4
"""What a whole day of the June calendar asks for at the least; a part of it asks for one change."""
PROFILE = replace(
    PROFILES["sat-june-10k"],
    rates=tuple(rate for rate in SATURDAY if not rate.kind.startswith(("timeline.", "cue."))),  # there are no run sheets
    churn_per_s=0.0,
)


class Look(Struct, frozen=True):
    """The fleet at one moment of the day, UTC seconds: people there, workers that are up, slots, and why so many."""

    day_s: float
    people: int
    up: int
    slots: int
    why: str
    lame: tuple[str, ...] = ()
    """Of those that are up: not fit for newcomers at this moment, and why."""


class Visitor(Struct):
    """One person at a wedding, from coming to leaving."""

    client: Client
    seen: Seen
    role: str


class ScaleDrill(FaultDrill):
    name = "scale"
    injects = "a day of the calendar at many times its speed; workers are started and drained as it goes"
    invariant = "0/0/0 and no gap; there is room before people come; at most one change of mind an hour"
    recovery = "none to wait for: nobody is cut off"
    needs = (Need("PostgreSQL", "apt-get install postgresql", lambda: binaries() is not None), redis_server)
    people = 1_100
    workers = 1
    usual_profile = PROFILE.name
    among_all = ("--date", "2027-06-12", "--from", "26:30", "--hours", "2.5", "--speed", "60")
    day: Day
    limits: Limits
    turned: TurnedClock

    @classmethod
    def arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--calendar", default="", metavar="DAY.csv", help="default: 270 weddings of a Saturday in June")
        parser.add_argument("--date", default="", metavar="YYYY-MM-DD", help="move the calendar there, on the venues' clocks")
        parser.add_argument("--from", dest="start", default="", metavar="HH:MM", help="begin then, UTC; 26:00 is in the night")
        parser.add_argument("--hours", type=float, metavar="H", help="play so much of the day (default: all of it)")
        parser.add_argument("--speed", type=float, default=SPEED, metavar="N", help=f"times faster (default {SPEED:g})")
        parser.add_argument("--capacity", type=int, default=150, metavar="N", help="people one worker carries (default 150)")
        parser.add_argument("--max-workers", type=int, default=8, metavar="N", help="the most workers (default 8)")
        parser.add_argument("--chart", default="", metavar="FILE", help="draw people, room and workers as they were (HTML)")

    @classmethod
    def settled(cls, options: Options) -> Options:
        extra = options.extra
        if extra["max_workers"] < LEAST or extra["capacity"] < 1:
            raise ValueError(f"--max-workers must be at least {LEAST}, --capacity at least 1")
        rows = read(Path(extra["calendar"]) if extra["calendar"] else CALENDAR)
        try:
            on = date.fromisoformat(extra["date"]) if extra["date"] else None
        except ValueError:
            raise ValueError(f"--date {extra['date']}: a date such as 2027-06-12 is needed") from None
        cls.day = planned(rows, options.connections, extra["speed"], on, extra["start"], extra["hours"])
        cls.limits = Limits(connections=extra["capacity"], most=extra["max_workers"])
        return replace(options, duration_s=cls.day.duration_s)

    @classmethod
    def plan_of(cls, options: Options) -> list[RoomPlan]:
        return [RoomPlan(booking.wedding, mix(booking.expected * FULLER + 1)) for booking in cls.day.bookings]

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        """A PostgreSQL with the calendar in it, a scaler that acts, and the clock of the day, which is about to begin."""
        with Postgres() as server, tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-day-") as folder:
            history = Path(folder) / "history.sqlite3"
            env = {"DATABASE_URL": server.database(), "HISTORY_DATABASE_URL": f"sqlite:///{history}"}
            await asyncio.to_thread(cls._seed, env, Path(folder))
            await sync_to_async(switch_off)(QUIET, history)
            cls.turned = TurnedClock(cls.day.begins, SystemClock().now() + timedelta(seconds=STARTED_S), cls.day.speed)
            env |= {"WEDSYNC_REHEARSAL": str(cls.turned), "WEDSYNC_WORKERS_MOST": str(cls.limits.most)}
            yield env | {"WEDSYNC_CAPACITY_CONNECTIONS": str(round(cls.limits.connections))}

    @classmethod
    def _seed(cls, env: dict[str, str], folder: Path) -> None:
        child = {name: value for name, value in os.environ.items() if name not in OF_THE_INSTALLATION}
        child |= env | {"WEDSYNC_VAR": str(folder), "SECRET_KEY": settings.SECRET_KEY}
        for database in ("default", "history"):
            manage(child, "migrate", "--verbosity", "0", "--database", database)
        write(cls.day.rows, folder / "day.csv")
        manage(child, "import_calendar", str(folder / "day.csv"))
        manage(child, "scale", "--mode", "auto", "--who", "drill scale")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.profile, self._day_clock, bookings = PROFILE, self.turned, self.day.bookings
        self._people = [actual_people([booking], self.options.seed * 1_000 + n) for n, booking in enumerate(bookings)]
        self._forecast = Forecast(bookings)
        self._room, self._most = SHARE_CONNECTIONS * self.limits.connections, self.limits.most
        self.there: list[list[Visitor]] = [[] for _ in self.plan]
        self.everyone: list[Visitor] = []
        self.looks: list[Look] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._visits = 0
        self._fleet: Fleet | None = None

    async def judged(self) -> FaultResult:
        result = await super().judged()
        if self.options.extra["chart"]:
            zone = ZoneInfo(Counter(row.timezone for row in self.day.rows).most_common(1)[0][0])
            day = f"{self.day.begins:%A} {self.day.begins.day} {self.day.begins:%B %Y}"
            title = f"{len(self.day.rows)} weddings, {day}, played {self.day.speed:g} times as fast"
            page = day_page(self.chart(), self.limits, title, zone)
            await asyncio.to_thread(Path(self.options.extra["chart"]).write_text, page, "utf-8")
        return result

    async def inject(self) -> None:
        """Look at the fleet once a second while the day goes by."""
        self.injected(f"the day begins, {self.day.speed:g} times as fast")
        began_s, waited_s = self.now_s(), cpu_waited_s()
        while self._day_clock.now() < self.day.ends:
            fleet = await self.fleet()
            rows = fleet["workers"]
            up = sum(row["state"] in ("ready", "lame") for row in rows)
            lame = tuple(f"{row['id']}: {row['reason']}" for row in rows if row["state"] == "lame")
            slots = len({row["slot"] for row in rows if row["state"] != "draining"})
            people = sum(visitor.client.session.phase is Phase.LIVE for room in self.there for visitor in room)
            for why in set(lame) - set(self.looks[-1].lame if self.looks else ()):
                self.noticed(why)
            if waited_s is not None:
                percent = 100 * ((cpu_waited_s() or waited_s) - waited_s) / max(1e-9, self.now_s() - began_s)
                self.facts["cpu_short_percent"] = round(percent, 1)
            self.looks.append(Look(self._day_clock.now().timestamp(), people, up, slots, fleet["why"], lame))
            await self._clock.sleep(LOOK_S)

    # -- people -------------------------------------------------------------------------------------------------------

    async def _connect(self, fleet: Fleet, through: str) -> None:
        self._fleet = fleet
        await self._clock.sleep(max(0.0, (self.day.begins - self._day_clock.now()).total_seconds() / self.day.speed))
        wanted = workers_at(self.day, self.limits)
        await self.until(lambda f: sum(r["state"] == "ready" for r in f["workers"]) >= wanted, f"{wanted} are ready", WAIT_S)
        while self._come_and_go():  # those who are there already when the drill begins
            await self._clock.sleep(STEP_S)
            self._progress("those who are there already", 0.0)

    async def _play(self) -> None:
        coming = asyncio.create_task(self._coming(), name="people")
        try:
            await super()._play()
        finally:
            coming.cancel()

    async def _coming(self) -> None:
        while True:
            self._come_and_go()
            await self._clock.sleep(STEP_S)

    def _come_and_go(self) -> int:
        """Let everybody come and leave who is due. Returns how many have to wait until others are in."""
        day_s = self._day_clock.now().timestamp()
        joining = sum(visitor.client.session.phase is not Phase.LIVE for room in self.there for visitor in room)
        waiting = 0
        for n, people in enumerate(self._people):
            there, target = self.there[n], min(len(self.plan[n].roles), round(people(day_s)))
            while len(there) > target and not there[-1].client.session.outbox:
                self._leave(there.pop())
            for _ in range(target - len(there)):
                if joining < JOINING_MAX:
                    self._come(n)
                    joining += 1
                else:
                    waiting += 1
        return waiting

    def _come(self, n: int) -> None:
        room, self._visits = self.plan[n], self._visits + 1
        role = room.roles[len(self.there[n])]
        member = f"{room.name}.{role}{self._visits}"
        seen = self.history.watch(room.name, member, role)
        recorder = Recorder(self.history, seen, self._clock)
        assert self._fleet is not None
        client = Client(
            f"ws://{self._server.netloc}/ws/weddings/{room.name}/",
            self._ticket(room.name, Sender(member, role, member)),
            self._fleet,
            on_event=self._noting(seen, recorder),
            rng=random.Random(f"{self.options.seed} {member}"),
        )
        visitor = Visitor(client, seen, role)
        self._recorders.append(recorder)
        self.there[n].append(visitor)
        self.everyone.append(visitor)
        client.start()

    def _leave(self, visitor: Visitor) -> None:
        visitor.seen.left = True
        task = asyncio.create_task(visitor.client.leave(), name="leave")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _noting(self, seen: Seen, recorder: Recorder) -> Callable[[Event], None]:
        def on_event(event: Event) -> None:
            match event:
                case Closed(code, reason) if not seen.left:
                    self.ended.append(Ended(seen.member, seen.role, code, self._clock.monotonic()))
                    if len(self.ended) <= NOTED_MAX:
                        self.noticed(f"{seen.member} was cut off: {code} {reason}")
                case Moved():
                    self.moves += 1
            recorder(event)

        return on_event

    def _everybody(self) -> Iterable[Client]:
        return (visitor.client for visitor in self.everyone)

    # -- what they say ------------------------------------------------------------------------------------------------

    def _schedule(self) -> Iterator[Planned]:
        return schedule(self.profile, self.plan, self.options.duration_s, self.options.seed)

    def _do(self, planned: Planned, due_s: float) -> None:
        """Somebody says it who is there and may; a wedding without such a person is silent."""
        role = self.plan[planned.room].roles[planned.member]
        able = [
            visitor
            for visitor in self.there[planned.room]
            if visitor.role == role and visitor.client.session.phase is Phase.LIVE
        ]
        if not able:
            return
        speaker = able[planned.member % len(able)]
        id = speaker.client.new_id()
        self.history.sent(speaker.seen.room, speaker.seen.member, id, planned.kind, due_s)
        if not durable(planned.kind):
            speaker.client.send(planned.kind, planned.data, id=id)
            return
        try:
            speaker.client.post(planned.kind, planned.data, id=id)
        except OutboxFull as error:
            self.history.answered(speaker.seen.room, speaker.seen.member, id, refused=error.code)

    # -- judging ------------------------------------------------------------------------------------------------------

    def promises(self) -> list[str]:
        changes = [(b.day_s, b.slots - a.slots) for a, b in pairwise(self.looks) if a.slots != b.slots]
        turns = [at_s for (_, before), (at_s, after) in pairwise(changes) if before * after < 0]
        outs, ins = sum(by > 0 for _, by in changes), sum(by < 0 for _, by in changes)
        short = [look for look in self.looks if look.up < min(self._most, math.ceil(look.people / self._room))]
        lame = sum(bool(look.lame) for look in self.looks)
        reversals = max((sum(at_s <= turn < at_s + 3_600 for turn in turns) for at_s in turns), default=0)
        hours = (self.day.ends - self.day.begins).total_seconds() / 3_600
        self.facts |= {
            "scale_outs": outs,
            "scale_ins": ins,
            "most_workers": max((look.up for look in self.looks), default=0),
            "most_people": max((look.people for look in self.looks), default=0),
            "reversals_in_an_hour": reversals,
            "seconds_short_of_room": len(short),
            "looks": len(self.looks),
            "looks_with_a_lame_worker": lame,
            "moves": self.moves,
            "connections_ended": len(self.ended),
            "visits": self._visits,
        }
        broken = [f"there was no room for everybody in {len(short)} of {len(self.looks)} looks"] if short else []
        if lame > LAME_SHARE * len(self.looks):
            broken.append(f"in {lame} of {len(self.looks)} looks a worker took nobody; the time line says why")
        if hours >= DAY_H and (outs < OUTS or ins < INS):
            broken.append(
                f"{outs} scale-outs and {ins} scale-ins; a day asks for {OUTS} and {INS}; at its end: {self.looks[-1].why}"
            )
        elif not changes:
            broken.append("the number of workers never changed: play a part of the day in which people come")
        if reversals > 1:
            broken.append(f"{reversals} changes of mind within an hour")
        gaps = sum(visitor.client.session.gaps for visitor in self.everyone)
        if self.ended or gaps:
            broken.append(f"{len(self.ended)} connections ended, {gaps} gaps were seen; nobody should notice anything")
        short_percent = self.facts.get("cpu_short_percent")
        if broken and isinstance(short_percent, float) and short_percent > SHORT_PERCENT:
            broken.append(f"{short_percent} % of the time somebody waited for a CPU here: play it where nothing else runs")
        return broken

    def chart(self) -> Simulation:
        """The day as it was, for `monitoring.day_chart`."""
        points = [
            Point(look.day_s, self._forecast.expected(look.day_s), look.people, look.up, look.slots, look.why, "")
            for look in self.looks
        ]
        count = {name: int(self.facts[name] or 0) for name in ("scale_outs", "scale_ins", "reversals_in_an_hour")}
        short = int(self.facts["seconds_short_of_room"] or 0)
        return Simulation(points, count["scale_outs"], count["scale_ins"], count["reversals_in_an_hour"], short, [])


def cpu_waited_s() -> float | None:
    """Seconds in which some task of this machine waited for a CPU, since it started (Linux: pressure stall information)."""
    try:
        line = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()[0]
        return int(line.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return None


def workers_at(day: Day, limits: Limits) -> int:
    """How many the calendar asks for when the day begins."""
    begins_s = day.begins.timestamp()
    decision, _ = desired_workers(Load(1), Forecast(day.bookings).need(begins_s), limits, Orders(), Past(), begins_s)
    return decision.needed
