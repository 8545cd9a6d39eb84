"""`drill calibrate`: what one worker of this machine carries; the scaler and readiness go by it.

While a Saturday is played, members of the role `load` publish more and more, each step half as much again as the last one, for
as long as everybody has everything in time. What ends it may be the drill itself, which shares the machine with the worker:
then the figures are the least that the worker carries, and that is said. A scaler that believes too little adds one too early;
one that believes too much adds it too late.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from realtime.client import Client, Fleet
from realtime.client_events import Event, Received
from realtime.drills.faults import FaultDrill
from realtime.drills.history import Recorder
from realtime.drills.server import DrillFailed
from realtime.histogram import Histogram, merged, quantile_s
from realtime.kinds import Priority
from realtime.messages import Sender

GOAL_MS = 50.0
"""Of p99: the other half of the promised 100 ms is for bursts."""
ALONE_SHARE = 0.4
"""Of the play, before anything is added to the Saturday."""
FIRST_PER_S, STEP = 4_000.0, 1.5
STEP_S, DRAIN_S = 2.5, 0.5
BUSY_MAX = 0.85
"""CPU of the drill's own process: above it what it measures is itself."""
HEARD_LEAST = 0.999
TICK, PAD = "bench.tick", "x" * 100


class Step(Struct):
    """What was measured at one rate. `busy`: of the drill's own process."""

    deliveries_per_s: float
    heard: float
    p99_ms: float | None
    busy: float

    @property
    def carried(self) -> bool:
        """Whether everybody had everything in time."""
        return self.heard >= HEARD_LEAST and self.p99_ms is not None and self.p99_ms < GOAL_MS


class CalibrateDrill(FaultDrill):
    name = "calibrate"
    injects = "more and more deliveries on one worker, on top of a Saturday; how fast all could come in is measured before"
    invariant = f"p99 within {GOAL_MS:g} ms; the most that kept to it is stored for the scaler and for readiness"
    workers = 1
    people = 2_000
    minutes = 1.0
    among_all = ("--connections", "2000", "--minutes", "1")  # a handful of people measured for a second is no capacity

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        """Nobody is told to come back later: how fast they can come is a question here."""
        yield {"WEDSYNC_ADMISSION_PER_S": "1000000", "WEDSYNC_ADDRESS_PER_S": "0"}

    async def _connect(self, fleet: Fleet, through: str) -> None:
        self._ticks, self._intended, self._steps = Histogram(), dict[str, float](), list[Step]()
        started_s, busy_s = self._clock.monotonic(), time.process_time()
        await super()._connect(fleet, through)
        took_s, busy_s = self._clock.monotonic() - started_s, time.process_time() - busy_s
        people = sum(len(room.roles) for room in self.plan)
        self.facts |= {"joins_per_s": round(people / took_s), "joins_own_cpu": round(busy_s / took_s, 2)}

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell = super()._listening(n, m, recorder)

        def on_event(event: Event) -> None:
            if not isinstance(event, Received) or event.pub.kind != TICK:
                tell(event)
            elif (due_s := self._intended.get(event.pub.id)) is not None:
                self._ticks.record(self._clock.monotonic() - due_s)

        return on_event

    async def inject(self) -> None:
        ends_s = self._clock.monotonic() + self.options.duration_s
        await self._clock.sleep(ALONE_SHARE * self.options.duration_s)
        urgent = merged(self.history.latencies[priority].counts for priority in (Priority.P0, Priority.P1, Priority.P2))
        alone_s = quantile_s(urgent, 0.99)
        self.facts["p99_ms"] = None if alone_s is None else round(alone_s * 1_000, 1)
        async with Fleet(self._clock) as fleet:
            speakers = [self._speaker(fleet, n) for n in range(len(self.plan))]
            try:
                for speaker in speakers:
                    await speaker.connect()
                self.injected("members of the role load begin to publish")
                per_s = FIRST_PER_S
                while self._clock.monotonic() + STEP_S + DRAIN_S < ends_s and (not self._steps or self._steps[-1].carried):
                    self._steps.append(await self._step(speakers, per_s))
                    per_s *= STEP
                self.restored("they have stopped")
            finally:
                for speaker in speakers:
                    speaker.abandon()

    def _speaker(self, fleet: Fleet, n: int) -> Client:
        room = self.plan[n].name
        ticket = self._ticket(room, Sender(f"{room}.load", "load", "load"))
        url = f"ws://{self._server.netloc}/ws/weddings/{room}/"
        return Client(url, ticket, fleet, on_event=lambda event: None, rng=random.Random(n))

    async def _step(self, speakers: list[Client], per_s: float) -> Step:
        """Publish so that `per_s` deliveries a second are due, in open loop, and count them."""
        self._ticks.counts.clear()
        self._intended.clear()
        sizes = [len(room.roles) for room in self.plan]
        started_s, busy_s = self._clock.monotonic(), time.process_time()
        owed, n = 0, 0
        while (due_s := started_s + owed / per_s) < started_s + STEP_S:
            await self._clock.sleep(max(0.0, due_s - self._clock.monotonic()))
            room = n % len(speakers)
            id = f"tick-{per_s:.0f}-{n}"
            self._intended[id] = due_s
            if speakers[room].send(TICK, {"pad": PAD}, id=id) is None:
                raise DrillFailed("a member of the role load lost its connection")
            owed, n = owed + sizes[room], n + 1
        busy = (time.process_time() - busy_s) / (self._clock.monotonic() - started_s)
        await self._clock.sleep(DRAIN_S)
        p99_ms = self._ticks.quantile_ms(0.99)
        return Step(owed / STEP_S, len(self._ticks) / owed, None if p99_ms is None else round(p99_ms, 1), round(busy, 2))

    def promises(self) -> list[str]:
        good = [step for step in self._steps if step.carried]
        self.facts["connections"] = sum(len(room.roles) for room in self.plan)
        self.facts["deliveries_per_s"] = round(good[-1].deliveries_per_s) if good else None
        if self._steps:
            last = self._steps[-1]
            own = last.busy > BUSY_MAX
            limit = "the time of the play" if last.carried else "this drill's own process" if own else "the worker"
            self.facts |= {
                "limited_by": limit,
                "last_step_per_s": round(last.deliveries_per_s),
                "last_step_p99_ms": last.p99_ms,
            }
        p99_ms, broken = self.facts["p99_ms"], []
        if p99_ms is None:
            broken.append("nothing durable was seen: play for longer")
        elif float(p99_ms) > GOAL_MS:
            broken.append(f"with {self.facts['connections']} connections p99 was {p99_ms} ms: ask for fewer --connections")
        if not good:
            broken.append(f"not even {FIRST_PER_S:,.0f} deliveries a second were carried")
        return broken
