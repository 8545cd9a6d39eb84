"""What the drills that break something have in common: a fleet of their own, a fault in the middle of the play, a verdict.

Nobody drops by chance here, so that every connection that ends was ended by the fault. The checker judges the history as after
a load drill; each drill adds what it promises beyond that, and what it has measured.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from realtime.client import Client
from realtime.client import Fleet as Clients
from realtime.client_events import CaughtUp, Closed, Connected, Event, Moved
from realtime.clock import Clock
from realtime.drills.history import Recorder
from realtime.drills.load import LoadDrill, Options, Progress, Result, member_id
from realtime.drills.server import DrillFailed, Running
from realtime.drills.workloads import Planned
from realtime.errors import RealtimeError
from realtime.fleet import remote
from realtime.messages import Sender

READY_S = 30.0
POLL_S = 0.05
KNOCK_S = 5.0
"""A newcomer has to be in by then: a pass that was not taken is made again after 0.6 s, then there is the welcome."""
MOVED_ON = {1000, 4001, 4012, 4013}
"""Close codes that were announced; any other end is abnormal."""


class Ended(Struct):
    """One connection that ended: whose, how, and when that member was complete again (monotonic seconds)."""

    member: str
    role: str
    code: int
    at_s: float
    back_s: float | None = None


class Moment(Struct, frozen=True):
    """Something that happened, seconds after the play began."""

    at_s: float
    sort: Literal["injection", "restoration", "detection", "alert"]
    said: str


class Knocked(Struct):
    """Newcomers: how many got in, how many of them at the worker they were to be kept from, and the longest time, seconds."""

    let_in: int = 0
    there: int = 0
    slowest_s: float = 0.0


class FaultResult(Struct):
    """What a fault drill prints with --json."""

    drill: str
    load: Result
    facts: dict[str, float | int | str | None] = field(default_factory=dict)
    passed: bool = False
    reason: str = ""
    moments: list[Moment] = field(default_factory=list)


class FaultDrill(LoadDrill):
    """A play with a fault in it. Subclasses inject it, and say what has to be true afterwards."""

    name = ""
    injects = ""
    invariant = ""
    recovery = "none"
    plays = "sat-june-10k-x10"
    """The profile unless told otherwise."""
    minutes = 0.5
    people = 400
    workers = 2
    judge_latency = False
    """Whether the goal for P0 and P1 holds through the fault."""

    def __init__(
        self, options: Options, server: Running, ticket: Callable[[str, Sender], str], clock: Clock, progress: Progress
    ) -> None:
        super().__init__(options, server.url, ticket, clock, progress)
        self.server = server
        self.ended: list[Ended] = []
        self.moves = 0
        self.facts: dict[str, float | int | str | None] = {}
        self.moments: list[Moment] = []
        self._began_s = clock.monotonic()
        self._open: dict[str, Ended] = {}

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        """What the fleet of this drill needs around it; yields the environment it gets."""
        yield {}

    async def inject(self) -> None:
        """Do the harm. Called when the play begins; returns when it is over. Says `injected`, `noticed` and `restored`."""
        raise NotImplementedError

    def promises(self) -> list[str]:
        """What was promised beyond the checker's rules and did not come true."""
        raise NotImplementedError

    async def judged(self) -> FaultResult:
        """Run it all."""
        load = await self.run()
        reasons = [str(violation) for violation in load.violations]
        reasons += [f"{load.behind} members had not caught up at the end"] if load.behind else []
        reasons += [f"{load.unanswered} durable publications have no answer"] if load.unanswered else []
        if self.judge_latency and load.reason and not reasons:
            reasons.append(load.reason)
        reasons += self.promises()
        return FaultResult(self.name, load, self.facts, not reasons, "\n".join(reasons), self.moments)

    # -- hooks of the load drill --------------------------------------------------------------------------------------

    async def _play(self) -> None:
        self._began_s = self._clock.monotonic()
        injecting = asyncio.create_task(self.inject(), name=self.name)
        try:
            await super()._play()
            await injecting
        finally:
            injecting.cancel()

    def _do(self, planned: Planned, due_s: float) -> None:
        if planned.kind:
            super()._do(planned, due_s)

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell, room = super()._listening(n, m, recorder), self.plan[n]
        member, role = member_id(room, m), room.roles[m]

        def on_event(event: Event) -> None:
            match event:
                case Closed(code):
                    if member not in self._open:  # a try that failed is no other end
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
        self.moments.append(Moment(self._since_start_s(), "injection", what))

    def restored(self, what: str) -> None:
        """The harm is over: what is measured from here on is "after"."""
        self.moments.append(Moment(self._since_start_s(), "restoration", what))

    def noticed(self, what: str) -> None:
        """The server noticed it: for the time line."""
        self.moments.append(Moment(self._since_start_s(), "detection", what))

    def _since_start_s(self) -> float:
        return round(self._clock.monotonic() - self._began_s, 3)

    # -- tools --------------------------------------------------------------------------------------------------------

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
        """The worker with the most connections."""
        rows = (await self.fleet())["workers"]
        return max(rows, key=lambda row: row["connections"] or 0)

    async def until(self, condition: Callable[[dict[str, Any]], bool], what: str, timeout_s: float = READY_S) -> float:
        """Ask until it is so; returns the seconds that took. Raises DrillFailed."""
        start_s = self._clock.monotonic()
        while not condition(await self.fleet()):
            if self._clock.monotonic() - start_s > timeout_s:
                raise DrillFailed(f"after {timeout_s:g} s it is still not so that {what}")
            await self._clock.sleep(POLL_S)
        return self._clock.monotonic() - start_s

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

    def quantile_s(self, q: float, since_s: float, roles: tuple[str, ...] = ()) -> float | None:
        """Seconds from `since_s` until a share `q` of those that were cut off was complete again. None: nobody was; inf: not
        all of them are back."""
        cut = [ended for ended in self.ended if ended.at_s >= since_s and (not roles or ended.role in roles)]
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
