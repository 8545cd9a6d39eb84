"""What one process runs: the parts, put together by `realtime.bootstrap`, and their start and stop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from realtime.access import resume_ticket
from realtime.canary import EVERY_S, ROOM, Canaries
from realtime.clock import Clock
from realtime.committer import Committer
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.connection_optimizer import ConnectionOptimizer
from realtime.errors import RealtimeError
from realtime.hub import Hub
from realtime.intake import Intake
from realtime.journal import Journal
from realtime.messages import Pong
from realtime.others import FLEET
from realtime.performance_optimizer import Reading, RealtimePerformanceOptimizer
from realtime.policy.admission import Admission
from realtime.ports import Domain, Mailbox, Registry
from realtime.programs import Programs
from realtime.report import Drain, Move, WorkerState
from realtime.reporting import reporting, say_goodbye

logger = logging.getLogger(__name__)


STEP_S = 0.1
"""Short enough to follow a burst within its first second, long enough for a CPU clock to be exact."""
PLANS_PER_S = 500
"""So that all of them take about a hundredth of a core at the most. In a crowd each connection waits longer for its turn."""
CALENDAR_EVERY_S = 60.0
BEAT_S = 1.0
SICK_SHARE = 0.25
"""While the layer carries nothing the journal is compared so much more often: across workers p99 stays within a second."""
RENEW_S = 3.0
"""Between two tries: a canary that was sent over a new subscription is back long before."""
_SERVED = {False: "usual", True: "light"}
GENERATIONS = (50_000, 50, 1_000)
"""Collections of old objects stop the world: with 5,000 connections for half a second. We make next to no circles, so they
can be rare: the oldest generation after 2.5 billion net allocations, in effect never under load."""


WEB_SLOT = "web"
"""The process of a fleet that serves pages, API and admin: it is no worker, and does not report as one."""


def _cannot(order: Drain | Move) -> None:
    logger.warning("nobody here can carry out %r", order)


def freeze() -> None:
    """Leave what was imported out of all later collections, and make those of old objects rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GENERATIONS)


class Services:
    """The parts of one process. `loop` is set while they run; before and after that only the synchronous ones may be used."""

    def __init__(
        self,
        config: RealtimeConfig,
        clock: Clock,
        domain: Domain,
        journal: Journal,
        mailbox: Mailbox,
        committer: Committer,
        hub: Hub,
        in_thread: Callable[..., Any],
        announce: Any,
        registry: Registry,
    ) -> None:
        self.config = config
        self.clock = clock
        self.domain = domain
        self.journal = journal
        self.mailbox = mailbox
        self.committer = committer
        self.hub = hub
        self.in_thread = in_thread
        self.announce = announce
        self.registry = registry
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ticked_s: float | None = None
        self.optimizer = RealtimePerformanceOptimizer(config.compress_over_bytes)
        self.connection_optimizer = ConnectionOptimizer(config)
        self.slot = config.slot  # the place in the fleet, and how this worker stands there
        self.state: WorkerState = "starting"
        self.reason, self.stopping = "not started yet", False  # stopping: it ends, and takes nobody who comes meanwhile
        self.started_s = clock.now().timestamp()
        self.intake, self.programs = Intake(config, hub, clock), Programs(clock)
        self.admission = Admission(config.admission_per_s, clock.monotonic())
        self.canaries = Canaries(mailbox, clock, hub.process)
        self.obey: Callable[[Drain | Move], None] = _cannot
        self.arriving = 0  # sockets that are here and not members yet
        self.busy: float | None = None
        self._lag_s: float | None = None
        self.plans: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to listen, sweep and compare. Called by the server or by whatever comes first; later calls do nothing."""
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
            await self.mailbox.start(self._receive)
            await self.mailbox.subscribe(FLEET)
            freeze()
            self.state, self.reason = "ready", ""
            self._tasks = [
                asyncio.create_task(self._beating(), name="beat"),
                asyncio.create_task(self._ticking(), name="tick"),
                asyncio.create_task(self._stepping(), name="step"),
                asyncio.create_task(self._calendar(), name="calendar"),
            ]
            if self.config.control:
                self._tasks.append(asyncio.create_task(importlib.import_module(self.config.control).run(self), name="control"))
            if self.slot != WEB_SLOT:
                self._tasks.append(asyncio.create_task(reporting(self), name="report"))
                if self.mailbox.healthy is not None:  # there may be others
                    self._tasks.append(asyncio.create_task(self._singing(), name="canary"))

    async def stop(self) -> None:
        """Finish what is being committed, end all tasks, say goodbye."""
        self.state = "draining"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.committer.stop()
        if self.slot != WEB_SLOT:  # after what is owed: Redis may be slow to answer
            await say_goodbye(self)
        await self.mailbox.stop()
        await self.registry.stop()
        self.loop, self._tasks = None, []

    def _receive(self, room: str, raw: bytes) -> None:
        if room == ROOM:
            self.canaries.receive(raw)
        else:
            self.hub.receive(room, raw)

    async def _singing(self) -> None:
        """Let the others hear that what this process says gets through; subscribe anew when nothing comes back."""
        await self.mailbox.subscribe(ROOM)
        renewed_s = 0.0
        while True:
            self.canaries.send()
            await self.clock.sleep(EVERY_S)
            # A connection may be dead without a word: that to a Redis which another one has replaced.
            if self.mailbox.healthy and self.canaries.deaf and self.clock.monotonic() - renewed_s > RENEW_S:
                logger.warning("nothing comes from the channel layer although it takes what is sent: subscribing anew")
                await self.mailbox.renew()
                renewed_s = self.clock.monotonic()

    async def _stepping(self) -> None:
        """Ten times a second, and in one turn of the loop, which is cheaper than two: measure this process and follow the
        optimizer; then plan the next few connections."""
        planning = self._planning()
        measured = self.clock.monotonic(), self.clock.cpu_s(), self.hub.emergencies_total
        while True:
            due_s = self.clock.monotonic() + STEP_S
            await self.clock.sleep(STEP_S)
            try:
                measured = self._tune(due_s, *measured)
            except Exception:  # without the next round nothing here would be noticed any more
                logger.exception("this process could not be tuned")
            try:
                next(planning)
            except Exception:
                logger.exception("a round of plans was broken off; the next one begins")
                planning = self._planning()

    def _tune(self, due_s: float, before_s: float, cpu_s: float, emergencies: int) -> tuple[float, float, int]:
        """One round, due at `due_s`, since the last one at `before_s`. Returns what the next one starts from."""
        clock, hub = self.clock, self.hub
        now_s, now_cpu_s = clock.monotonic(), clock.cpu_s()
        elapsed_s = now_s - before_s
        if elapsed_s <= 0:
            return before_s, cpu_s, emergencies
        hub.standstill.alive()
        # The loop was busy with something else for as long as this timer is late.
        self.busy, lag_s = (now_cpu_s - cpu_s) / elapsed_s, max(0.0, now_s - due_s)
        self._lag_s = max(lag_s, self._lag_s or 0.0)
        for connection in hub.measures.stuck(self.config.stuck_after_s):
            connection.end_too_slow()
        emergency, outbox_bytes = hub.emergencies_total > emergencies, hub.measures.outbox_bytes
        reading = Reading(self.busy, lag_s, outbox_bytes, self.committer.backlog_s(), emergency)
        hub.flushing.tuning = self.optimizer.step(reading, now_s)
        return now_s, now_cpu_s, hub.emergencies_total

    def take_lag_s(self) -> float | None:
        """The longest time the loop was late since this was asked last; None: not measured yet."""
        lag_s, self._lag_s = self._lag_s, None
        return lag_s

    def _planning(self) -> Iterator[None]:
        """Measure each connection every `plan_every_s` and plan it again, in a crowd more rarely: a few at each step."""
        while True:
            members = [connection for room in self.hub.rooms.values() for connection in room.members()]
            self.connection_optimizer.serve(len(members))
            every_s = max(self.config.plan_every_s, len(members) / PLANS_PER_S)
            steps = max(1, round(every_s / STEP_S))
            size = -(-len(members) // steps) or 1
            counted: Counter[tuple[str, str]] = Counter()
            for start in range(0, size * steps, size):
                for connection in members[start : start + size]:
                    try:
                        self.plan(connection, every_s)
                        self._renew(connection)
                    except Exception:  # the others want their plans all the same
                        logger.exception("%s cannot be planned", connection.member.member)
                    counted[_SERVED[connection.plan.light], connection.plan.encoding] += 1
                yield
            self.plans = {", ".join(how): count for how, count in counted.items()}

    def plan(self, connection: Connection, again_s: float | None = None) -> None:
        """Plan `connection` by what is known of it now. `again_s`: the next round comes to it then."""
        if connection.closing is None:
            plan = self.connection_optimizer.plan(connection.stats(again_s))
            if not plan.same(connection.plan):
                self.hub.replan(connection, plan)

    def renewal_s(self) -> float:
        """When one who has just got a ticket for its next connection gets the next one (monotonic): it must never be without a
        good one, however long it stays."""
        return self.clock.monotonic() + self.config.resume_ttl_s / 2

    def resume(self, connection: Connection) -> str:
        """A fresh ticket for the next connection of this member."""
        return resume_ticket(connection.room, connection.member, connection.login, self.clock.now(), self.config)

    def _renew(self, connection: Connection) -> None:
        if connection.closing is None and self.clock.monotonic() >= connection.renew_s:
            connection.tell(Pong(resume=self.resume(connection)))
            connection.renew_s = self.renewal_s()

    async def _calendar(self) -> None:
        """Know which weddings have their day: they are let in before all others. A database that is away changes nothing."""
        while True:
            try:
                self.admission.today = await self.in_thread(self.domain.today, self.clock.now())
            except Exception as error:
                logger.warning("which weddings have their day cannot be read: %s", error)
            await self.clock.sleep(CALENDAR_EVERY_S)

    async def _beating(self) -> None:
        """Be heard of by the others, also while the journal does not answer."""
        while True:
            try:
                await self.hub.beat()
            except Exception:
                logger.exception("the others could not be told")
            await self.clock.sleep(BEAT_S)

    async def _ticking(self) -> None:
        sick = False
        while True:
            self.committer.sweep_soon()
            try:
                await self.hub.compare()
                self.hub.expel(await self.in_thread(self.domain.revoked))
                self.ticked_s = self.clock.monotonic()
                sick = False
            except RealtimeError as error:
                if not sick:
                    logger.warning("the journal cannot be compared: %s", error)
                sick = True
            except Exception:
                logger.exception("the tick failed")
            sick_layer = self.mailbox.healthy is False or self.canaries.deaf
            await self.clock.sleep(self.config.reconcile_s * (SICK_SHARE if sick_layer else 1))
