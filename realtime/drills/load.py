"""The load drill: so many people, so much said, and did everybody see everything in time?

Open loop: each publication has its intended moment, and latency counts from there, so that a slow server cannot slow its own
examination down (ops.md 4.1). The verdict is the checker's, over what each client's application was shown.
"""

from __future__ import annotations

import heapq
import random
import resource
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from realtime.client import Client, Fleet
from realtime.client_events import Event, SnapshotTaken
from realtime.clock import Clock
from realtime.drills.checker import Report, Violation, behind, check, last_acknowledged
from realtime.drills.course import Latency, latency
from realtime.drills.history import History, Recorder
from realtime.drills.proxy import ChaosProxy, FrameTamper
from realtime.drills.server import DrillFailed
from realtime.drills.workloads import BURST_SHARE, PROFILES, Planned, Profile, RoomPlan, rooms, schedule
from realtime.errors import RealtimeError
from realtime.kinds import Priority
from realtime.messages import Sender
from realtime.policy.resending import OutboxFull
from realtime.saying import durable
from realtime.services import freeze
from realtime.session import Phase

JOINING_MAX = 64
"""Clients on their way in at once. Coming in is the ramp here, not the examination: the storm has a drill of its own."""
CONNECT_S = 30.0
"""So long nobody may get in before the drill is given up."""
SETTLE_S = 30.0
LINGER_S = 0.5
"""Ephemeral publications that were sent last are given so long to arrive."""
GOAL_MS = 100.0
BUSY_PERCENT = 85.0
PORTS_PER_ADDRESS = 20_000
FAULT_EVERY_S = 0.25

Progress = Callable[[str, float], None]
"""(what is going on, share that is done)."""


class Options(Struct, frozen=True):
    """What to play. `prefix` names the weddings: prefix-0, prefix-1, ..."""

    profile: str
    connections: int
    duration_s: float
    seed: int = 1
    burst: bool = False
    fault: str = ""
    prefix: str = "load"
    extra: dict[str, Any] = {}
    """What only one drill understands, such as the date of a rehearsal."""


class Route(Struct, frozen=True):
    """From a client to the server: where to (ws://host:port), from which local address, with a socket made by whom."""

    base: str
    source: str | None = None
    socket_of: Callable[[], socket.socket] | None = None


class Result(Struct):
    """What `manage.py drill load --json` prints."""

    profile: str
    connections: int
    rooms: int
    duration_s: float
    seed: int
    publishes: int
    deliveries: int
    expected: int
    ephemeral_delivered: int
    ephemeral_expected: int
    unanswered: int
    behind: int
    reconnects: int
    gaps: int
    repeats: int
    generator_cpu_percent: float
    refused: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    latency: dict[str, Latency] = field(default_factory=dict)
    passed: bool = False
    reason: str = ""


def profile_of(options: Options) -> Profile:
    """The profile as asked for. Raises ValueError with a sentence for the operator."""
    profile = PROFILES.get(options.profile)
    if profile is None:
        raise ValueError(f"--profile {options.profile}: there is none of that name; manage.py drill list shows them")
    if options.duration_s <= 0:
        raise ValueError("--minutes must be more than 0")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if options.connections > files - 200:
        raise ValueError(
            f"--connections {options.connections}: they need as many open files, this process may have {files} (ulimit -n)"
        )
    return replace(profile, peak_share=BURST_SHARE) if options.burst else profile


class LoadDrill:
    """One run against a server that has the weddings. `ticket(room, member)` makes a join ticket."""

    judge_latency = True
    """Whether P0 and P1 have to keep their goal throughout."""

    def __init__(
        self, options: Options, url: str, ticket: Callable[[str, Sender], str], clock: Clock, progress: Progress
    ) -> None:
        self.options = options
        self.profile = profile_of(options)
        self.plan = self.plan_of(options)
        self.history = History()
        self.clients: list[list[Client]] = []
        self.items: list[list[int]] = [[] for _ in self.plan]
        self.skipped = 0
        self._server = urlsplit(url)
        self._ticket = ticket
        self._clock = clock
        self._progress = progress
        self._recorders: list[Recorder] = []
        self._joining: list[Client] = []
        self._tamper: FrameTamper | None = None

    @classmethod
    def plan_of(cls, options: Options) -> list[RoomPlan]:
        """The weddings and who is in them. Raises ValueError with a sentence for the operator."""
        return rooms(profile_of(options), options.connections, options.prefix)

    async def run(self) -> Result:
        """Connect, play, wait until everybody is caught up, judge. Raises DrillFailed when nobody gets in."""
        async with Fleet(self._clock) as fleet, self._fault() as through:
            try:
                await self._connect(fleet, through)
                started_s, busy_s = self._clock.monotonic(), time.process_time()
                await self._play()
                busy_s = time.process_time() - busy_s
                percent = 100 * busy_s / max(1e-9, self._clock.monotonic() - started_s)
                left_behind = await self._settle()
            finally:
                for recorder in self._recorders:
                    recorder.offline()
                for client in self._everybody():
                    client.abandon()
        return self._judge(percent, left_behind)

    # -- connecting ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _fault(self) -> AsyncIterator[str]:
        """A proxy that does the wrong thing, for the members that are to see it; yields its URL."""
        room, victim, fault = self._victim()
        if fault not in FrameTamper.FAULTS:
            yield ""
            return
        self._tamper = FrameTamper(fault, victim, match=b'"kind":"chat.', secret=b'"kind":"chat.crew"')
        host, port = self._server.hostname or "127.0.0.1", self._server.port or 80
        async with ChaosProxy(host, port, stream=self._tamper.stream) as proxy:
            yield f"ws://{proxy.host}:{proxy.port}"

    def _victim(self) -> tuple[int, str, str]:
        """(room, member, fault): a planner of the first room, or a guest when something is to leak."""
        fault = self.options.fault
        role = "guest" if fault == "leak" else "planner"
        roles = self.plan[0].roles
        return 0, member_id(self.plan[0], roles.index(role) if role in roles else len(roles) - 1), fault

    async def _connect(self, fleet: Fleet, through: str) -> None:
        direct = f"ws://{self._server.netloc}"
        room_of_fault, victim, fault = self._victim()
        for n, room in enumerate(self.plan):
            self.clients.append([])
            for m in range(len(room.roles)):
                spoiled = bool(through) and n == room_of_fault and (m == 0 or member_id(room, m) == victim)
                trusting = bool(through) and n == room_of_fault and member_id(room, m) == victim
                client = self._client(fleet, n, m, through if spoiled else direct, trusting)
                self.clients[n].append(client)
                await self._room_for_one(JOINING_MAX)
                self._joining.append(client)
                client.start()
        await self._room_for_one(0)
        freeze()  # ten thousand clients are not garbage; looking at them again would stop the world

    async def _room_for_one(self, joining_max: int) -> None:
        """Wait until no more than `joining_max` are on their way in. Raises DrillFailed when nobody gets in any more."""
        total = sum(len(room.roles) for room in self.plan)
        known, until_s = len(self._joining), self._clock.monotonic() + CONNECT_S
        while len(self._joining) >= max(1, joining_max):
            self._joining = [client for client in self._joining if client.session.phase is not Phase.LIVE]
            missing = len(self._joining)
            if missing < known:
                known, until_s = missing, self._clock.monotonic() + CONNECT_S
            over = any(client.session.phase is Phase.OVER for client in self._joining)
            if over or self._clock.monotonic() > until_s:
                why = "the server refused a ticket" if over else f"nobody got in for {CONNECT_S:g} s"
                raise DrillFailed(f"{missing} clients wait to get in: {why}")
            if missing >= max(1, joining_max):
                self._progress("connecting", (len(self._recorders) - missing) / total)
                await self._clock.sleep(0.01)

    def _client(self, fleet: Fleet, n: int, m: int, base: str, trusting: bool) -> Client:
        room = self.plan[n]
        role, member = room.roles[m], member_id(room, m)
        recorder = Recorder(self.history, self.history.watch(room.name, member, role), self._clock)
        route = self._route(n, m, base)
        self._recorders.append(recorder)
        on_event = self._listening(n, m, recorder)
        return Client(
            f"{route.base}/ws/weddings/{room.name}/",
            self._ticket(room.name, Sender(member, role, member)),
            fleet,
            on_event=on_event,
            rng=random.Random(f"{self.options.seed} {member}"),
            source_address=route.source,
            trusting=trusting,
            socket_of=route.socket_of,
        )

    def _route(self, n: int, m: int, base: str) -> Route:
        """Of member `m` of room `n`, who wants to get to `base`; asked once, before it starts."""
        address = len(self._recorders) // PORTS_PER_ADDRESS
        return Route(base, f"127.0.0.{address + 1}" if address else None)

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        """Who is told what member `m` of room `n` is shown."""
        return self._learning(n, recorder) if m == 0 else recorder

    def _learning(self, n: int, recorder: Recorder) -> Callable[[Event], None]:
        """The first member of a room is a planner: its snapshot says which items there are, cues first."""

        def on_event(event: Event) -> None:
            if isinstance(event, SnapshotTaken) and not self.items[n]:
                sheet = sorted(event.snapshot.items, key=lambda item: item.get("kind") != "cue")
                self.items[n] = [int(str(item["id"])) for item in sheet if item.get("visibility") != "planners"]
            recorder(event)

        return on_event

    # -- playing ------------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        duration_s = self.options.duration_s
        start_s = self._clock.monotonic() + 0.2
        self.history.course.begin(start_s)
        for planned in heapq.merge(self._schedule(), self._extra(), self._bait(), key=lambda p: p.t_s):
            due_s = start_s + planned.t_s
            while (wait_s := due_s - self._clock.monotonic()) > 0:
                self._progress("playing", max(0.0, planned.t_s - wait_s) / duration_s)
                await self._clock.sleep(min(wait_s, 0.25))
            self._do(planned, due_s)
        while (wait_s := start_s + duration_s - self._clock.monotonic()) > 0:
            self._progress("playing", 1 - wait_s / duration_s)
            await self._clock.sleep(min(wait_s, 0.25))

    def _schedule(self) -> Iterator[Planned]:
        return schedule(self.profile, self.plan, self.options.duration_s, self.options.seed, self.items)

    def _extra(self) -> Iterator[Planned]:
        """What is said beyond the profile."""
        return iter(())

    def _bait(self) -> Iterator[Planned]:
        """With a fault: chat in that room, so that there is something to spoil."""
        room, _, fault = self._victim()
        crew = 0
        n = int(self.options.duration_s / FAULT_EVERY_S) if fault else 0
        for k in range(n):
            kind = ("chat.crew", "chat.guests")[k % 2]
            yield Planned(k * FAULT_EVERY_S, room, crew, kind, {"text": f"{k}"})

    def _do(self, planned: Planned, due_s: float) -> None:
        room = self.plan[planned.room]
        client = self.clients[planned.room][planned.member]
        if not planned.kind:
            if client.session.phase is Phase.LIVE and not client.session.trusting:
                client.drop()
            return
        member = planned.member
        if client.session.phase is not Phase.LIVE:
            member = self._stand_in(planned)
            client = self.clients[planned.room][member]
        id, kind = client.new_id(), planned.kind
        if not durable(kind) and client.session.phase is not Phase.LIVE:
            self.skipped += 1
            return
        self.history.sent(room.name, member_id(room, member), id, kind, due_s)
        if not durable(kind):
            client.send(kind, planned.data, id=id)
            return
        try:
            client.post(kind, planned.data, id=id)
        except OutboxFull as error:
            self.history.answered(room.name, member_id(room, member), id, refused=error.code)
        except RealtimeError:  # sent away for good: what has no answer fails the drill
            pass

    def _stand_in(self, planned: Planned) -> int:
        """Somebody of the same role who is connected: a phone without a network does not say things on time."""
        roles = self.plan[planned.room].roles
        clients = self.clients[planned.room]
        same = [m for m, role in enumerate(roles) if role == roles[planned.member] and clients[m].session.phase is Phase.LIVE]
        return same[0] if same else planned.member

    async def _settle(self) -> int:
        """Wait until everything is answered and everybody has caught up. Returns how many have not."""
        until_s = self._clock.monotonic() + SETTLE_S
        await self._clock.sleep(LINGER_S)
        while True:
            late = sum(1 for _ in behind(self.history, last_acknowledged(self.history)))
            waiting = sum(len(client.session.outbox) for client in self._everybody())
            if not late + waiting or self._clock.monotonic() > until_s:
                return late
            self._progress("catching up", 1 - (until_s - self._clock.monotonic()) / SETTLE_S)
            await self._clock.sleep(0.25)

    def _everybody(self) -> Iterable[Client]:
        return (client for room in self.clients for client in room)

    # -- judging ------------------------------------------------------------------------------------------------------

    def _judge(self, cpu_percent: float, left_behind: int) -> Result:
        report = check(self.history)
        sessions = [client.session for client in self._everybody()]
        sent = [message for message in self.history.messages if message.sent]
        result = Result(
            profile=self.profile.name,
            connections=len(sessions),
            rooms=len(self.plan),
            duration_s=self.options.duration_s,
            seed=self.options.seed,
            publishes=len(sent),
            deliveries=report.deliveries,
            expected=report.expected,
            ephemeral_delivered=report.ephemeral_delivered,
            ephemeral_expected=report.ephemeral_expected,
            unanswered=report.unanswered,
            behind=left_behind,
            reconnects=sum(session.connections for session in sessions) - len(sessions),
            gaps=sum(session.gaps for session in sessions),
            repeats=sum(session.repeats for session in sessions),
            generator_cpu_percent=round(cpu_percent, 1),
            refused=dict(Counter(message.refused for message in sent if message.refused)),
            violations=report.violations,
            latency={priority.name: latency(self.history.latencies[priority]) for priority in Priority},
        )
        reasons = unkept(result, report, self._tamper is not None and not self._tamper.done)
        if self.judge_latency:
            reasons += late(result)
        result.reason = "\n".join(reasons)
        result.passed = not reasons
        return result


def member_id(room: RoomPlan, index: int) -> str:
    """The id of a synthetic member."""
    return f"{room.name}.{room.roles[index]}{index}"


def unkept(result: Result, report: Report, fault_missing: bool) -> list[str]:
    """What was promised of the publications and not kept, whatever happened meanwhile."""
    reasons = [str(violation) for violation in report.violations]
    if fault_missing:
        reasons.append("the fault could not be placed: the victim was sent too little; play for longer")
    if result.behind:
        reasons.append(f"{result.behind} members had not caught up {SETTLE_S:g} s after the end")
    if result.unanswered:
        reasons.append(f"{result.unanswered} durable publications have no answer")
    return reasons


def late(result: Result) -> list[str]:
    """Which of the urgent priorities missed its goal."""
    reasons = []
    for priority in ("P0", "P1"):
        p99_ms = result.latency[priority].p99_ms
        if p99_ms is not None and p99_ms > GOAL_MS:
            busy = result.generator_cpu_percent > BUSY_PERCENT
            hint = "; the generator itself was too busy to say more" if busy else ""
            reasons.append(f"{priority} p99 {p99_ms:.1f} ms is over {GOAL_MS:g} ms{hint}")
    return reasons
