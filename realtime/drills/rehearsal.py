"""`drill rehearsal`: a day of the calendar is played before it comes, with three faults on the way."""

from __future__ import annotations

import asyncio
import math
import random
from argparse import ArgumentParser
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from msgspec.structs import replace

from realtime.drills.course import PHASES, DayClock
from realtime.drills.day import Day, Stay, compressed, sayings, stays
from realtime.drills.deploy import deploy_all
from realtime.drills.faults import Facts, FaultDrill, FaultResult
from realtime.drills.hang import stop_worker
from realtime.drills.kill import kill_worker
from realtime.drills.load import GOAL_MS, Options, member_id
from realtime.drills.redis_kill import OwnRedis, own_redis
from realtime.drills.redis_kill import need as redis_server
from realtime.drills.storm import drop_all
from realtime.drills.workloads import Planned, RoomPlan
from realtime.policy.forecast import Booking, Forecast
from wedsync.weddings import calendars
from wedsync.weddings.forecasting import bookings, from_calendar
from wedsync.weddings.tables import Unreadable, decode

SPEED = 120.0
"""A Saturday from coast to coast is 25 hours, which take twelve minutes: phases are shorter, messages are as frequent as in
life."""
FAULTS_AT = (0.3, 0.5, 0.7)
"""Of the day: its first and its last weddings are quiet."""
REDIS_GONE_S = 10.0
PLANNERS_S, ALL_S = 3.0, 8.0
AROUND = timedelta(days=2)
JUNE = Path(settings.BASE_DIR) / "wedsync/weddings/demo/calendar/saturday-june.csv"


class RehearsalDrill(FaultDrill):
    name = "rehearsal"
    injects = (
        "a day of the calendar as synthetic weddings, its phases compressed, with three faults on the way, drawn by --seed"
    )
    invariant = "0/0/0 over the whole day; P0 and P1 p99 within 100 ms except while something is broken"
    recovery = "planners 3 s, all 8 s, after each fault"
    minutes = 12.4
    people = 600
    needs = (redis_server,)
    may_fire = ("worker-missing",)
    among_all = ("--date", "2027-06-12", "--calendar", str(JUNE), "--speed", "400")
    redis: OwnRedis

    @classmethod
    def arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--date", required=True, metavar="YYYY-MM-DD", help="the day, as it is dated at the venues")
        parser.add_argument("--speed", type=float, default=SPEED, metavar="N", help=f"times faster (default {SPEED:g})")
        parser.add_argument("--calendar", default="", metavar="DAY.csv", help="instead of the weddings of this installation")

    @classmethod
    def settled(cls, options: Options) -> Options:
        if not 1 <= options.extra["speed"] < math.inf:
            raise ValueError("--speed: at least 1")
        return replace(options, duration_s=cls.day_of(options).length_s)

    @classmethod
    def day_of(cls, options: Options) -> Day:
        """The day that is played. Raises ValueError with a sentence for the operator."""
        return compressed(*_calendar(options.extra["date"], options.extra["calendar"]), options.connections,
                          options.extra["speed"], options.prefix)  # fmt: skip

    @classmethod
    def plan_of(cls, options: Options) -> list[RoomPlan]:
        return list(cls.day_of(options).plan)

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        async with own_redis() as cls.redis:
            yield {"REDIS_URL": cls.redis.url}

    # -- the day ------------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        self.day, self.away = self.day_of(self.options), set[str]()
        self._breaks: list[tuple[str, float, float]] = []
        self._coming = stays(self.day, self.options.seed)
        while self._coming and self._coming[0].t_s == 0.0:
            self._stay(self._coming.pop(0))
        moving = asyncio.create_task(self._come_and_go(), name="come and go")
        try:
            await super()._play()
        finally:
            moving.cancel()
            for stay in [Stay(0.0, n, m, True) for n, room in enumerate(self.plan) for m in range(len(room.roles))]:
                self._stay(stay)  # in the end everybody looks once more: nothing may be missing

    def _schedule(self) -> Iterator[Planned]:
        return sayings(self.day, self.options.seed, self.items)

    async def _come_and_go(self) -> None:
        start_s = self.history.course.began_s
        for stay in self._coming:
            await self._clock.sleep(max(0.0, start_s + stay.t_s - self._clock.monotonic()))
            self._stay(stay)

    def _stay(self, stay: Stay) -> None:
        member, client = member_id(self.plan[stay.room], stay.member), self.clients[stay.room][stay.member]
        if stay.there and member in self.away:
            self.away.discard(member)
            client.stall(False)
        elif not stay.there and member not in self.away:
            self.away.add(member)
            self.gone(member)
            client.stall(True)
            client.drop()

    def _do(self, planned: Planned, due_s: float) -> None:
        """Somebody of that role who is there says it; when nobody is, it is not said."""
        room = self.plan[planned.room]
        here = [m for m, role in enumerate(room.roles) if role == room.roles[planned.member] and not self._is_away(room, m)]
        if here:
            speaker = planned.member if planned.member in here else here[planned.member % len(here)]
            super()._do(replace(planned, member=speaker), due_s)

    def _is_away(self, room: RoomPlan, member: int) -> bool:
        return member_id(room, member) in self.away

    def left(self, member: str) -> bool:
        return member in self.away

    # -- the faults ---------------------------------------------------------------------------------------------------

    async def inject(self) -> None:
        rng = random.Random(f"{self.options.seed} faults")
        for share, name in zip(FAULTS_AT, rng.sample(sorted(STRIKES), len(FAULTS_AT)), strict=True):
            due_s = self.history.course.began_s + share * self.options.duration_s
            await self._clock.sleep(max(0.0, due_s - self._clock.monotonic()))
            struck_s = self._clock.monotonic()
            self.facts |= {f"{name}_{fact}": value for fact, value in (await STRIKES[name](self)).items()}
            await self.until(lambda fleet: all(row["state"] == "ready" for row in fleet["workers"]), "all workers are ready")
            self._breaks.append((name, struck_s, self._clock.monotonic()))

    def promises(self) -> list[str]:
        broken = []
        for name, struck_s, over_s in self._breaks:
            for who, roles, goal_s in (("planners", ("planner",), PLANNERS_S), ("all", (), ALL_S)):
                back_s = self.quantile_s(1.0, struck_s, roles, over_s)
                self.facts[f"{name}_{who}_back_s"] = None if back_s is None else round(back_s, 3)
                if back_s is not None and back_s > goal_s:
                    broken.append(f"after {name} the last of {who} was back after {back_s:.1f} s, the goal is {goal_s:g} s")
        for priority, phases in self.history.course.phases().items():
            for phase in (PHASES[0], PHASES[2]):
                p99_ms = phases[phase].p99_ms
                if priority in ("P0", "P1") and p99_ms is not None and p99_ms > GOAL_MS:
                    broken.append(f"{priority} p99 was {p99_ms:.0f} ms {phase} the faults, the goal is {GOAL_MS:g} ms")
        return broken

    async def judged(self) -> FaultResult:
        result = await super().judged()
        result.day = DayClock(self.day.opens_s, self.day.speed, self._zone().key)
        result.title = f"Rehearsal of {self.day.on:%A} {self.day.on.day} {self.day.on:%B %Y}"
        result.story = self._story(result)
        return result

    def _zone(self) -> ZoneInfo:
        """Where most of its weddings are."""
        return Counter(booking.zone for booking in self.day.bookings).most_common(1)[0][0]

    def _story(self, result: FaultResult) -> list[str]:
        """For the planner's boss."""
        day, load = self.day, result.load
        everything = Forecast(_calendar(self.options.extra["date"], self.options.extra["calendar"])[1])
        peak_s = max((s for b in everything.bookings for s in b.begins_s), key=everything.expected)
        peak = everything.expected(peak_s)
        self.facts |= {"forecast_peak": round(peak), "people_for_each_one_played": round(peak / load.connections, 1)}
        zone = self._zone()
        where = f"{zone.key.rpartition('/')[2].replace('_', ' ')} time"
        faults = "; ".join(
            f"at {datetime.fromtimestamp(day.clock_s(moment.at_s), zone):%H:%M} {moment.said}"
            for moment in result.moments
            if moment.sort == "injection"
        )
        backs = [float(b) for name, b in self.facts.items() if name.endswith("all_back_s") and b is not None]
        back = f" After the worst of it everybody was back within {max(backs):.1f} seconds." if backs else ""
        kept = "Nothing was lost, nothing was shown twice, nothing came in the wrong order."
        broken = "Not everything that was promised was kept: the verdict above says what."
        return [
            f"{day.on:%A} {day.on.day} {day.on:%B %Y} has {day.weddings:,} weddings. The forecast is {peak:,.0f} people at "
            f"once at most, at {datetime.fromtimestamp(peak_s, zone):%H:%M} {where}.",
            f"The whole day was played in {day.length_s / 60:.1f} minutes with {load.connections:,} people in {load.rooms:,} "
            f"weddings that stand for all of them; they came, left and spoke as people do, {load.publishes:,} messages that "
            f"were shown {load.deliveries:,} times.",
            f"Three things were broken on purpose: {faults} ({where}).{back}",
            kept if result.passed else broken,
            "This shows that the day's course and its faults are survived. That the machines are large enough for all its "
            "people is shown by the calibration, which readiness asks for, too.",
        ]


Strike = Callable[[RehearsalDrill], Awaitable[Facts]]


async def _redis(drill: RehearsalDrill) -> Facts:
    gone_s = min(REDIS_GONE_S, 0.08 * drill.options.duration_s)
    await drill.redis.outage(drill, gone_s)
    return {"gone_s": round(gone_s, 1)}


STRIKES: dict[str, Strike] = {
    "kill": kill_worker,
    "hang": stop_worker,
    "deploy": deploy_all,
    "storm": drop_all,
    "redis": _redis,
}


@lru_cache(maxsize=4)
def _calendar(day: str, calendar: str) -> tuple[date, tuple[Booking, ...]]:
    """The weddings of that day. Raises ValueError with a sentence for the operator."""
    try:
        on = date.fromisoformat(day)
    except ValueError:
        raise ValueError(f"--date {day}: a date such as 2027-06-12 is needed") from None
    if calendar:
        try:
            found = from_calendar(calendars.read(decode(Path(calendar).read_bytes())))
        except OSError as error:
            raise ValueError(f"--calendar {calendar}: {error.strerror}") from None
        except Unreadable as error:
            raise ValueError(f"--calendar {calendar}: {error}") from None
    else:
        try:
            found = bookings(datetime.combine(on, time(12), UTC), AROUND)
        except DatabaseError as error:
            raise ValueError(
                f"the weddings of this installation cannot be read ({error}): migrate, or say --calendar"
            ) from None
    return on, tuple(booking for booking in found if booking.ceremony.astimezone(booking.zone).date() == on)
