"""Memory adapters for tests: a journal, a network of mailboxes that tests delay, lose and reorder, a clock that tests turn."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from realtime.errors import JournalUnavailable, UnknownRoom
from realtime.hub import Hub
from realtime.kinds import KINDS
from realtime.publication import Draft, Entry, Outcome, Position, State, Stored, Swept
from realtime.roles import sees

START = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


class ManualClock:
    """Stands still until `advance`."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.set_s = 0.0
        """How far somebody has set it forward; negative: back. Durations know nothing of it."""
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.elapsed_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed_s + self.set_s)

    def cpu_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        if not seconds:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.elapsed_s + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        self.elapsed_s += seconds
        due = [future for at_s, future in self._sleepers if at_s <= self.elapsed_s]
        self._sleepers = [(at_s, future) for at_s, future in self._sleepers if at_s > self.elapsed_s]
        for future in due:
            if not future.done():
                future.set_result(None)


class MemoryJournal:
    """The journal as lists. `up = False` makes every call raise JournalUnavailable."""

    def __init__(self, clock: ManualClock, *rooms: str) -> None:
        self.up = True
        self.epochs = dict.fromkeys(rooms, "e1")
        self.entries: dict[str, list[Entry]] = {room: [] for room in rooms}
        self.floors = dict.fromkeys(rooms, 0)
        self._clock = clock

    def commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        self._check()
        return [self._commit_one(draft) for draft in drafts]

    def _commit_one(self, draft: Draft) -> Outcome:
        log = self.entries.get(draft.room)
        if log is None:
            return UnknownRoom()
        for entry in log:
            if (entry.sender.member, entry.id) == (draft.sender.member, draft.id):
                return Stored(entry.offset, duplicate=True)
        audience = int(draft.kind.audience)
        now, offset = self._clock.now(), len(log) + 1
        entry = Entry(
            draft.room, offset, draft.kind.name, audience, draft.id, draft.sender, now, draft.data,
            expires_at=draft.expires_at, replaces=draft.replaces or "",
        )  # fmt: skip
        log.append(entry)
        return Stored(offset, (entry,))

    def sweep(self) -> Swept:
        self._check()
        return Swept()

    def probe(self) -> None:
        self._check()

    def position(self, room: str) -> Position:
        self._check()
        if room not in self.entries:
            raise UnknownRoom
        heads: dict[int, int] = {}
        for entry in self.entries[room]:
            heads[entry.audience] = entry.offset
        return Position(self.epochs[room], len(self.entries[room]), heads, self.floors[room])

    def positions(self, rooms: Iterable[str]) -> dict[str, tuple[str, int]]:
        self._check()
        return {room: (self.epochs[room], len(self.entries[room])) for room in rooms if room in self.entries}

    def renew(self, rooms: Iterable[str], epoch: str) -> int:
        self._check()
        found = [room for room in rooms if self.epochs[room] == epoch]
        self.epochs |= dict.fromkeys(found, f"{epoch}+")
        return len(found)

    def since(self, room: str, offset: int, limit: int) -> list[Entry]:
        self._check()
        return self.entries[room][offset : offset + limit]

    def history(self, room: str, offset: int, view: int, limit: int) -> tuple[Position, list[Entry]]:
        position = self.position(room)
        visible = [e for e in self.entries[room] if e.offset > offset and sees(view, e.audience)]
        return position, visible[: limit + 1]

    def state(self, room: str, view: int) -> State:
        position = self.position(room)
        told = [e for e in self.entries[room] if sees(view, e.audience) and not KINDS[e.kind].acts]
        return State(position, [], [], told)

    def _check(self) -> None:
        if not self.up:
            raise JournalUnavailable


class Network:
    """Mailboxes that share a wire: what is sent lies there as (receiver, room, parcel) until a test delivers or loses it."""

    def __init__(self) -> None:
        self.wire: list[tuple[MemoryMailbox, str, bytes]] = []
        self.boxes: list[MemoryMailbox] = []

    def deliver(self, index: int) -> None:
        box, room, parcel = self.wire.pop(index)
        if room in box.rooms:
            box.receive(room, parcel)

    def deliver_all(self) -> None:
        while self.wire:
            self.deliver(0)


class MemoryMailbox:
    """One process's end of a `Network`."""

    healthy: bool | None = True
    sick_s = -math.inf

    def __init__(self, network: Network) -> None:
        self._network = network
        self.rooms: set[str] = set()
        self.receive: Callable[[str, bytes], None] = lambda room, parcel: None
        network.boxes.append(self)

    async def start(self, receive: Any) -> None:
        self.receive = receive

    async def renew(self) -> None:
        pass

    async def stop(self) -> None:
        self.rooms.clear()

    async def subscribe(self, room: str) -> None:
        self.rooms.add(room)

    async def unsubscribe(self, room: str) -> None:
        self.rooms.discard(room)

    def send(self, room: str, parcels: Iterable[bytes]) -> None:
        others = [box for box in self._network.boxes if box is not self]
        self._network.wire.extend((box, room, parcel) for parcel in parcels for box in others)


async def at_once(function: Callable[..., Any], *args: object) -> Any:
    """`in_thread` without a thread."""
    return function(*args)


def queue_of_calls() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    """(in_thread, run): database calls of a coroutine are made between the turns of its loop, in the thread of the test."""
    waiting: list[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        waiting.append((future, function, args))
        return await future

    def finish(coroutine: Any) -> None:
        loop = asyncio.new_event_loop()
        try:
            task = loop.create_task(coroutine)
            while not task.done():
                loop.run_until_complete(asyncio.sleep(0))
                while waiting:
                    future, function, args = waiting.pop(0)
                    try:
                        future.set_result(function(*args))
                    except Exception as error:
                        future.set_exception(error)
            task.result()
        finally:
            loop.close()

    return in_thread, finish


async def second(hub: Hub) -> None:
    """What a process does every second."""
    await hub.beat()
    await hub.compare()
