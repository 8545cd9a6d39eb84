"""What all drills have in common: a fleet, a play, perhaps a fault in the middle of it, a verdict.

Nobody drops by chance in those that break something, so that every connection that ends was ended by the fault. The checker
judges the history; each drill adds what it promises beyond that, and what it has measured.
"""

from __future__ import annotations

import asyncio
import math
import random
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from realtime.bootstrap import registry_at
from realtime.client import Client
from realtime.client import Fleet as Clients
from realtime.client_events import CaughtUp, Closed, Connected, Event, Moved
from realtime.clock import Clock
from realtime.drills.course import DayClock, Latency, Moment, Point, Sample
from realtime.drills.guard import victim
from realtime.drills.history import Recorder
from realtime.drills.load import LoadDrill, Options, Progress, Result, member_id
from realtime.drills.needs import Need
from realtime.drills.server import DrillFailed, Running
from realtime.drills.workloads import Planned
from realtime.errors import RealtimeError
from realtime.fleet import remote
from realtime.messages import Sender
from realtime.session import Phase

READY_S = 30.0
POLL_S = 0.05
PLACED_LEAST, WHOLE_PERCENT, FULLEST = 5_000, 90.0, 1.25
"""With fewer people the sizes of a few weddings decide how even the workers can be."""
KNOCK_S = 5.0
"""A newcomer has to be in by then: a pass that was not taken is made again after 0.6 s, then there is the welcome."""
SAMPLE_S = 1.0
MOVED_ON = {1000, 4001, 4012, 4013}
"""Close codes that were announced; any other end is abnormal."""


Facts = dict[str, float | int | str | None]
"""What a drill has measured; the unit ends the name. None: it could not be measured."""


class Ended(Struct):
    """One connection that ended: whose, how, and when that member was complete again (monotonic seconds)."""

    member: str
    role: str
    code: int
    at_s: float
    back_s: float | None = None


class Alarm(Struct, frozen=True):
    """An alert rule during the drill. `at_s`: when it fired, seconds after the play began; None: it did not."""

    rule: str
    required: bool
    at_s: float | None
    said: str = ""


class Knocked(Struct):
    """Newcomers: how many got in, how many of them at the worker they were to be kept from, and the longest time, seconds."""

    let_in: int = 0
    there: int = 0
    slowest_s: float = 0.0


class FaultResult(Struct):
    """What a drill prints with --json, and what is kept of it."""

    drill: str
    load: Result
    facts: Facts = field(default_factory=dict)
    passed: bool = False
    reason: str = ""
    moments: list[Moment] = field(default_factory=list)
    phases: dict[str, dict[str, Latency]] = field(default_factory=dict)
    """{priority: {"before" | "during" | "after" the injection: latency}}."""
    curve: list[Point] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    declared: dict[str, str] = field(default_factory=dict)
    day: DayClock | None = None
    """Of a play that is a day at speed: then its time line is that day's."""
    title: str = ""
    story: list[str] = field(default_factory=list)
    """The same in words, for people who do not run servers."""

    def broken(self, reason: str) -> None:
        """One more thing that did not come true."""
        self.reason = f"{self.reason}\n{reason}".strip()
        self.passed = False


class FaultDrill(LoadDrill):
    """A play with a fault in it. Subclasses declare what `drill list` explains, inject it, and say what must be true then."""

    name = ""
    injects = ""
    invariant = ""
    recovery = "none"
    """The recovery-time goal."""
    minutes = 0.5
    """How long to play unless told otherwise."""
    people = 400
    """Connections unless told otherwise."""
    workers = 2
    """Of the drill's own fleet; 0: one Daphne without a fleet."""
    needs: tuple[Need, ...] = ()
    """Programs and privileges; without one the drill is refused by name."""
    alerts: tuple[str, ...] = ()
    """Alert rules that the injection must set off; one that did not fire fails the drill."""
    live = False
    """Whether it may be played on the running fleet, inside weddings of its own."""
    churn = False
    """Whether people lose their connections by chance meanwhile."""
    judge_latency = False
    may_fire: tuple[str, ...] = ()
    """Alert rules beside `alerts` that the injection may set off: on a running fleet they are no reason to give it up."""
    usual_profile = "sat-june-10k-x10"
    among_all: tuple[str, ...] = ()
    """What `drill all` says to it, whatever it says to the others: a day that fits between them."""

    def __init__(
        self, options: Options, server: Running, ticket: Callable[[str, Sender], str], clock: Clock, progress: Progress
    ) -> None:
        super().__init__(options, server.url, ticket, clock, progress)
        self.server = server
        self.ended: list[Ended] = []
        self.moves = 0
        self.facts: Facts = {}
        self._open: dict[str, Ended] = {}

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        """What the fleet of this drill needs around it; yields the environment it gets."""
        yield {}

    @classmethod
    def arguments(cls, parser: ArgumentParser) -> None:
        """Options of `manage.py drill` that only this one has; they arrive in `Options.extra`."""

    @classmethod
    def settled(cls, options: Options) -> Options:
        """What is played when this was asked for. Raises ValueError with a sentence for the operator."""
        return options

    async def inject(self) -> None:
        """Do the harm. Called when the play begins; returns when it is over. Says `injected`, `noticed` and `restored`."""
        raise NotImplementedError

    def promises(self) -> list[str]:
        """What was promised beyond the checker's rules and did not come true."""
        raise NotImplementedError

    async def judged(self) -> FaultResult:
        """Run it all."""
        return self._found(await self.run(), self.promises)

    def stopped(self, why: str) -> FaultResult:
        """What was seen until it had to be given up in the middle."""
        return self._found(self._judge(0.0, 0), lambda: [f"given up: {why}"])

    def _found(self, load: Result, promises: Callable[[], list[str]]) -> FaultResult:
        reasons = ([load.reason] if load.reason else []) + promises()
        course = self.history.course
        return FaultResult(
            self.name,
            load,
            self.facts,
            not reasons,
            "\n".join(reasons),
            moments=sorted(course.moments, key=lambda moment: moment.at_s),
            phases=course.phases(),
            curve=course.curve(),
            samples=course.samples,
            declared={"injects": self.injects, "invariant": self.invariant, "recovery": self.recovery},
        )

    def due(self) -> tuple[str, ...]:
        """The alerts that must have fired, after a play as long as this one was."""
        return self.alerts

    # -- hooks of the load drill --------------------------------------------------------------------------------------

    async def _play(self) -> None:
        tasks = [asyncio.create_task(self.inject(), name=self.name), asyncio.create_task(self._watch(), name="samples")]
        try:
            await super()._play()
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()

    async def _watch(self) -> None:
        """Look once a second how many are connected, and to how many workers."""
        course = self.history.course
        while True:
            await self._clock.sleep(SAMPLE_S)
            people = sum(client.session.phase is Phase.LIVE for client in self._everybody())
            workers = await self._ready_workers()
            course.samples.append(Sample(course.since_s(self._clock.monotonic()), people, workers))

    async def _ready_workers(self) -> int | None:
        try:
            return sum(row["state"] == "ready" for row in (await self.fleet())["workers"]) if self.server.var else None
        except DrillFailed:
            return None

    def _do(self, planned: Planned, due_s: float) -> None:
        if planned.kind or self.churn:
            super()._do(planned, due_s)

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell, room = super()._listening(n, m, recorder), self.plan[n]
        member, role = member_id(room, m), room.roles[m]

        def on_event(event: Event) -> None:
            match event:
                case Closed(code):
                    if member not in self._open and not self.left(member):  # a try that failed is no other end
                        self._open[member] = Ended(member, role, code, self._clock.monotonic())
                        self.ended.append(self._open[member])
                case CaughtUp() if member in self._open:
                    self._open.pop(member).back_s = self._clock.monotonic()
                case Moved():
                    self.moves += 1
            tell(event)

        return on_event

    def injected(self, what: str) -> None:
        """The harm begins now: what is measured from here on is "during". `what` is a line of the report's time line."""
        self._moment("injection", what)

    def restored(self, what: str) -> None:
        """The harm is over: what is measured from here on is "after"."""
        self._moment("restoration", what)

    def noticed(self, what: str) -> None:
        """The server noticed it: for the time line."""
        self._moment("detection", what)

    def _moment(self, sort: Literal["injection", "restoration", "detection"], what: str) -> None:
        course = self.history.course
        course.moments.append(Moment(course.since_s(self._clock.monotonic()), sort, what))

    def gone(self, member: str) -> None:
        """This member has put the phone away before it was back: then how long that took is not known."""
        ended = self._open.pop(member, None)
        if ended is not None:
            self.ended.remove(ended)

    def left(self, member: str) -> bool:
        """Whether this member is away by itself."""
        return False

    # -- tools --------------------------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """So long, at least."""
        await self._clock.sleep(max(0.0, seconds))

    def everybody(self) -> Iterable[Client]:
        """All clients of the play."""
        return self._everybody()

    async def fleet(self) -> dict[str, Any]:
        """What the supervisor says now."""
        return await asyncio.to_thread(self._ask_once, {"do": "fleet"})

    def _ask_once(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return next(remote.ask(Path(self.server.var), request))
        except (remote.NoFleet, OSError, StopIteration) as error:
            raise DrillFailed(f"the supervisor does not answer: {error}") from None

    async def pids(self) -> dict[str, int]:
        """{process of the fleet: its pid}: what is missing later has ended."""
        fleet = await self.fleet()
        return {row["id"]: row["pid"] for row in (*fleet["workers"], *fleet["processes"])}

    async def fullest(self) -> dict[str, Any]:
        """The worker with the most connections; on a running fleet with the most people of this drill."""
        rows = (await self.fleet())["workers"]
        if self.server.redis:
            chosen = victim(await registry_at(self.server.redis).reports())
            if chosen is None:
                raise DrillFailed("no worker of the running fleet holds anybody of this drill")
            rows = [row for row in rows if row["worker"] == chosen] or rows
        return max(rows, key=lambda row: row["connections"] or 0)

    async def until(
        self, condition: Callable[[dict[str, Any]], bool], what: str, timeout_s: float = READY_S, *, every_s: float = POLL_S
    ) -> float:
        """Ask until it is so; returns the seconds that took. Raises DrillFailed."""
        start_s = self._clock.monotonic()
        while not condition(await self.fleet()):
            if self._clock.monotonic() - start_s > timeout_s:
                raise DrillFailed(f"after {timeout_s:g} s it is still not so that {what}")
            await self._clock.sleep(every_s)
        return self._clock.monotonic() - start_s

    async def note_placement(self, when: str) -> None:
        """Into the facts: the share of weddings that are whole on one worker, and the fullest worker over the mean."""
        rows = (await self.fleet())["workers"]
        held = [row["connections"] or 0 for row in rows if row["state"] == "ready"]
        split = sum(row["weddings"] or 0 for row in rows) - len(self.plan)  # each part beyond the first one is a split
        self.facts[f"whole_weddings_percent_{when}"] = round(100 * (1 - max(0, split) / len(self.plan)), 1)
        self.facts[f"fullest_over_mean_{when}"] = round(max(held) * len(held) / sum(held), 3) if sum(held) else None

    def badly_placed(self, when: str) -> list[str]:
        """Sentences, when that was worse than promised. Of a handful of people figures say nothing."""
        if self.options.connections < PLACED_LEAST:
            return []
        whole, fullest = self.facts[f"whole_weddings_percent_{when}"], self.facts[f"fullest_over_mean_{when}"]
        broken = []
        if whole is None or float(whole) < WHOLE_PERCENT:
            broken.append(f"{when} it {whole} % of the weddings were whole on one worker, the goal is {WHOLE_PERCENT:g} %")
        if fullest is None or float(fullest) > FULLEST:
            broken.append(f"{when} it the fullest worker had {fullest} times the mean, the goal is {FULLEST:g}")
        return broken

    async def knock(self, count: int, name: str, shunned: str = "") -> Knocked:
        """Let `count` newcomers come in at once, and leave again. `shunned`: the worker (its process) that should get none."""
        async with Clients(self._clock) as fleet:
            outcomes = await asyncio.gather(*(self._knock(number, name, fleet) for number in range(count)))
        inside = [outcome for outcome in outcomes if outcome is not None]
        there = sum(process == shunned for process, _ in inside)
        return Knocked(len(inside), there, max((took_s for _, took_s in inside), default=0.0))

    async def _knock(self, number: int, name: str, fleet: Clients) -> tuple[str, float] | None:
        """(process that welcomed this one, seconds until it was complete), None when it did not get in."""
        room, processes = self.plan[number % len(self.plan)].name, [""]
        ticket = self._ticket(room, Sender(f"{room}.{name}{number}", "guest", "newcomer"))

        def on_event(event: Event) -> None:
            if isinstance(event, Connected):
                processes.append(event.welcome.process)

        url = f"ws://{self._server.netloc}/ws/weddings/{room}/"
        client, start_s = Client(url, ticket, fleet, on_event=on_event, rng=random.Random(number)), self._clock.monotonic()
        try:
            async with asyncio.timeout(KNOCK_S):
                await client.connect()
        except (TimeoutError, RealtimeError):
            return None
        finally:
            client.abandon()
        return processes[-1], self._clock.monotonic() - start_s

    def quantile_s(self, q: float, since_s: float, roles: tuple[str, ...] = (), until_s: float = math.inf) -> float | None:
        """Seconds from `since_s` until a share `q` of those that were cut off (before `until_s`) was complete again. None:
        nobody was; inf: not all of them are back."""
        cut = [e for e in self.ended if since_s <= e.at_s <= until_s and (not roles or e.role in roles)]
        waits = sorted(math.inf if ended.back_s is None else ended.back_s - since_s for ended in cut)
        return waits[min(len(waits) - 1, math.ceil(q * len(waits)) - 1)] if waits else None

    def note_returns(self, since_s: float) -> None:
        """Into the facts: how many were cut off, and when they were back."""
        self.facts["cut_off"] = sum(ended.at_s >= since_s for ended in self.ended)
        for name, q, roles in (("planners_back_s", 1.0, ("planner",)), ("p99_back_s", 0.99, ()), ("last_back_s", 1.0, ())):
            value = self.quantile_s(q, since_s, roles)
            self.facts[name] = None if value is None else round(value, 3)

    def late(self, fact: str, goal_s: float, who: str) -> list[str]:
        """A sentence when `fact` is over its goal."""
        value = self.facts.get(fact)
        over = isinstance(value, float) and value > goal_s
        return [f"{who} back after {value} s, the goal is {goal_s:g} s"] if over else []


def encode(result: FaultResult) -> bytes:
    """JSON of the result; somebody who never came back is null."""
    facts = {name: None if value == math.inf else value for name, value in result.facts.items()}
    return msgspec.json.encode(replace(result, facts=facts))
