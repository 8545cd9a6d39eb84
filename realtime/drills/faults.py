"""What the drills that break something have in common: a fleet of their own, a fault in the middle of the play, a verdict.

Nobody drops by chance here, so that every connection that ends was ended by the fault. The checker judges the history as after
a load drill; each drill adds what it promises beyond that, and what it has measured.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from realtime.client_events import CaughtUp, Closed, Event, Moved
from realtime.clock import Clock
from realtime.drills.history import Recorder
from realtime.drills.load import LoadDrill, Options, Progress, Result, member_id
from realtime.drills.server import DrillFailed, Running
from realtime.drills.workloads import Planned
from realtime.fleet import remote
from realtime.messages import Sender

READY_S = 30.0
POLL_S = 0.05
PLACED_LEAST, WHOLE_PERCENT, FULLEST = 5_000, 90.0, 1.25
"""With fewer people the sizes of a few weddings decide how even the workers can be."""
MOVED_ON = {1000, 4001, 4012, 4013}
"""Close codes that were announced; any other end is abnormal."""


class Ended(Struct):
    """One connection that ended: whose, how, and when that member was complete again (monotonic seconds)."""

    member: str
    role: str
    code: int
    at_s: float
    back_s: float | None = None


class FaultResult(Struct):
    """What a fault drill prints with --json."""

    drill: str
    load: Result
    facts: dict[str, float | int | str | None] = field(default_factory=dict)
    passed: bool = False
    reason: str = ""


class FaultDrill(LoadDrill):
    """A play with a fault in it. Subclasses inject it, and say what has to be true afterwards."""

    name = ""
    minutes = 0.5
    """How long to play unless told otherwise."""
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
        self._open: dict[str, Ended] = {}

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        """What the fleet of this drill needs around it; yields the environment it gets."""
        yield {}

    async def inject(self) -> None:
        """Do the harm. Called when the play begins; returns when it is over."""
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
        return FaultResult(self.name, load, self.facts, not reasons, "\n".join(reasons))

    # -- hooks of the load drill --------------------------------------------------------------------------------------

    async def _play(self) -> None:
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

    # -- tools --------------------------------------------------------------------------------------------------------

    async def fleet(self) -> dict[str, Any]:
        """What the supervisor says now."""
        return await asyncio.to_thread(self._ask_once, {"do": "fleet"})

    def _ask_once(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return next(remote.ask(Path(self.server.var), request))
        except (remote.NoFleet, OSError, StopIteration) as error:
            raise DrillFailed(f"the supervisor does not answer: {error}") from None

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
    return msgspec.json.encode(FaultResult(result.drill, result.load, facts, result.passed, result.reason))
