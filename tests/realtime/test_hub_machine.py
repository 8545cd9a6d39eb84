"""Two processes, one journal, a wire that delays, loses and reorders, reads that take their time: nobody misses, doubles or
sees what is not theirs, whatever the order of events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import realtime.room
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.connection_optimizer import ConnectionPlan
from realtime.draft import draft
from realtime.errors import JournalUnavailable
from realtime.hub import Hub
from realtime.messages import Goodbye, Live, Pub, Sender, Snapshot, Welcome, decode_to_client
from realtime.performance_optimizer import Tuning
from realtime.roles import ROLES, VIEWS, sees
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, second

ROOM = "rose-garden"
SLICE_MEMBERS = realtime.room.SLICE_MEMBERS
CONFIG = RealtimeConfig(window_entries=3, replay_max_entries=20, presence_refresh_s=1.0)
KINDS = {"chat.guests": {"text": "x"}, "chat.crew": {"text": "y"}, "guest.checkin": {"guest": "g"}}


class Read:
    """A database read on its way: first it runs, later its result arrives."""

    def __init__(self, function: Any, args: Any) -> None:
        self.call = lambda: function(*args)
        self.arrives: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.ran = False

    def run(self) -> None:
        self.ran = True
        self.result = self.call()

    def arrive(self) -> None:
        if not self.arrives.done():
            self.arrives.set_result(self.result)


class Process:
    def __init__(self, name: str, journal: MemoryJournal, network: Network, clock: ManualClock) -> None:
        self.reads: list[Read] = []
        self.mailbox = MemoryMailbox(network)
        self.hub = Hub(CONFIG, journal, self.mailbox, clock, self.in_thread, name)
        self.mailbox.receive = self.hub.receive

    async def in_thread(self, function: Any, *args: Any) -> Any:
        read = Read(function, args)
        self.reads.append(read)
        return await read.arrives


class Member:
    """A client: keeps its position over connections and fails on whatever the protocol forbids."""

    def __init__(self, name: str, role: str) -> None:
        self.sender = Sender(name, role)
        self.view = VIEWS[ROLES[role]]
        self.position: int | None = None
        self.epoch = ""
        self.known: list[int] = []
        self.connection: Connection | None = None
        self.task: asyncio.Task[None] | None = None

    def read(self) -> None:
        connection = self.connection
        if connection is None:
            return
        outbox, connection._outbox = connection._outbox, None
        for waiting in outbox.take(1 << 30) if outbox is not None else ():
            self.take(decode_to_client(waiting.text))

    def take(self, message: Any) -> None:
        match message:
            case Welcome():
                self.epoch = message.epoch
            case Snapshot():
                self.position = message.offset
                self.known = [decode_to_client(raw).offset for raw in message.recent]
            case Pub() if message.offset:
                assert message.prev == self.position, f"{self.sender.member}: gap or double at {message.offset}"
                self.position = message.offset
                self.known.append(message.offset)
            case Live():
                assert self.position is not None and message.up_to >= self.position
                self.position = message.up_to
            case Goodbye():
                raise AssertionError(message.reason)


async def cancel_everything() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class HubMachine(RuleBasedStateMachine):
    @initialize()
    def set_up(self) -> None:
        self.turns = 12
        realtime.room.SLICE_MEMBERS = 1
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock, ROOM)
        self.network = Network()
        self.members: list[Member] = []
        self.published = 0
        self.ticks: list[asyncio.Task[None]] = []
        self.processes = [Process(f"p{n}", self.journal, self.network, self.clock) for n in range(2)]

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(self.turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
        for member in self.members:
            member.read()

    def in_loop(self, call: Any, *args: Any) -> None:
        async def run() -> None:
            call(*args)

        self.loop.run_until_complete(run())
        self.settle()

    @rule(process=st.integers(0, 1), kind=st.sampled_from(sorted(KINDS)), held=st.booleans())
    def publish(self, process: int, kind: str, held: bool) -> None:
        """Stored; `held`: the process dies before it tells anybody."""
        self.published += 1
        checked = draft(CONFIG, ROOM, kind, KINDS[kind], id=f"id{self.published}")
        entries = self.journal.commit([checked])[0].entries
        if not held:
            self.in_loop(self.processes[process].hub.committed, entries)

    @rule(process=st.integers(0, 1), role=st.sampled_from(["planner", "vendor", "guest", "display"]))
    def join(self, process: int, role: str) -> None:
        if len(self.members) < 6:
            member = Member(f"m{len(self.members)}", role)
            self.members.append(member)
            self.connect(member, process)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), process=st.integers(0, 1))
    def come_back(self, data: Any, process: int) -> None:
        self.connect(data.draw(st.sampled_from(self.members)), process)

    def connect(self, member: Member, process: int) -> None:
        self.drop(member)

        async def join() -> None:
            connection = member.connection = Connection(ROOM, member.sender)
            hub = self.processes[process].hub
            with contextlib.suppress(JournalUnavailable):
                await hub.join(connection, member.epoch, member.position, "")
            if member.connection is not connection:
                hub.leave(connection)

        async def start() -> None:
            member.task = asyncio.create_task(join())

        self.loop.run_until_complete(start())
        self.settle()

    def drop(self, member: Member) -> None:
        connection, member.connection = member.connection, None
        if connection is not None:
            for process in self.processes:
                process.hub.leave(connection)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def hang_up(self, data: Any) -> None:
        self.drop(data.draw(st.sampled_from(self.members)))

    @precondition(lambda self: self.network.wire)
    @rule(data=st.data(), lost=st.booleans())
    def wire(self, data: Any, lost: bool) -> None:
        index = data.draw(st.integers(0, len(self.network.wire) - 1))
        if lost:
            del self.network.wire[index]
        else:
            self.in_loop(self.network.deliver, index)

    @precondition(lambda self: any(p.reads for p in self.processes))
    @rule(data=st.data())
    def read(self, data: Any) -> None:
        process = data.draw(st.sampled_from([p for p in self.processes if p.reads]))
        read = data.draw(st.sampled_from(process.reads))
        if not read.ran:
            read.run()
        else:
            process.reads.remove(read)
            self.in_loop(read.arrive)

    @precondition(lambda self: any(p.reads for p in self.processes))
    @rule(process=st.integers(0, 1))
    def read_all(self, process: int) -> None:
        """The database is quick: whatever is asked is answered, until nothing is asked any more."""
        reads = self.processes[process].reads
        for _ in range(20):
            while reads:
                read = reads.pop(0)
                if not read.ran:
                    read.run()
                self.in_loop(read.arrive)

    @rule(process=st.integers(0, 1), busy=st.booleans())
    def load(self, process: int, busy: bool) -> None:
        """Under load a process joins publications; what it holds back leaves with `flush`."""
        self.processes[process].hub.flushing.tuning = Tuning(window_s=3_600.0 if busy else 0.0)

    @rule(turns=st.sampled_from([0, 1, 3, 12]))
    def patience(self, turns: int) -> None:
        """How many turns the loop has between two events: a room served in slices is seen in the middle of it."""
        self.turns = turns

    @precondition(lambda self: self.members)
    @rule(data=st.data(), light=st.booleans())
    def plan(self, data: Any, light: bool) -> None:
        """A connection is served in another way from now on."""
        connection = data.draw(st.sampled_from(self.members)).connection
        if connection is not None:
            for process in self.processes:
                self.in_loop(process.hub.replan, connection, ConnectionPlan(heartbeat_s=25, light=light))

    @rule(process=st.integers(0, 1))
    def flush(self, process: int) -> None:
        for room in self.processes[process].hub.rooms.values():
            self.in_loop(self.processes[process].hub.flushing.now, room)

    @rule(process=st.integers(0, 1))
    def tick(self, process: int) -> None:
        async def start() -> None:
            self.ticks.append(asyncio.create_task(second(self.processes[process].hub)))

        self.clock.advance(1)
        self.loop.run_until_complete(start())
        self.settle()

    @invariant()
    def counted(self) -> None:
        """Who is here is counted as they come and go, in the room and in all."""
        for process in self.processes:
            there = Counter(c.member.role for room in process.hub.rooms.values() for c in room.members())
            assert {role: n for role, n in process.hub.measures.connections.items() if n} == there
            for room in process.hub.rooms.values():
                assert sum(room.measures.report().connections.values()) == room.n_members == sum(there.values())

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.finish()
            for member in self.members:
                if member.connection is not None:
                    self.verify(member)
        finally:
            realtime.room.SLICE_MEMBERS = SLICE_MEMBERS
            self.loop.run_until_complete(cancel_everything())
            self.loop.close()

    def finish(self) -> None:
        """The wire is dead for good; what the hubs find out by themselves has to do."""
        self.network.wire.clear()
        self.turns = 20
        for process in range(2):
            self.load(process, False)
            self.flush(process)
        for _ in range(30):
            for process in range(2):
                self.tick(process)
                for read in list(self.processes[process].reads):
                    self.processes[process].reads.remove(read)
                    if not read.ran:
                        read.run()
                    self.in_loop(read.arrive)
                self.flush(process)
            self.network.wire.clear()
        for task in self.ticks:
            assert task.done() and task.exception() is None

    def verify(self, member: Member) -> None:
        if member.task is not None and member.task.done():
            assert member.task.exception() is None
        visible = [e.offset for e in self.journal.entries[ROOM] if sees(member.view, e.audience)]
        assert member.known == visible, f"{member.sender}: {member.known} instead of {visible}"


HubMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestHub = HubMachine.TestCase
