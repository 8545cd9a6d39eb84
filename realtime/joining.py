"""How a member comes in: what it missed, from memory or from the journal, and the one turn of the loop that attaches it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from realtime.clock import Clock
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.errors import JournalUnavailable
from realtime.frame import Frame
from realtime.messages import Live, Snapshot, Welcome, encode
from realtime.policy.recovery import FromJournal, FromWindow, recovery, worth_replaying
from realtime.policy.returning import return_ms
from realtime.publication import Entry, Position, State
from realtime.report import REPLAYED
from realtime.roles import Audience, head_of, sees
from realtime.room import HeldRoom

if TYPE_CHECKING:
    from realtime.hub import Hub

JOIN_ATTEMPTS = 5
STATE_MAX_AGE_S = 2.0
"""A state is shared by those who join within this. It would do for longer, but what expires must not be told late."""


class Reader(Protocol):
    """What the hub asks of the journal (`realtime.journal.Journal`), each in a thread."""

    def position(self, room: str) -> Position: ...
    def positions(self, rooms: Iterable[str]) -> dict[str, tuple[str, int]]: ...
    def since(self, room: str, offset: int, limit: int) -> list[Entry]: ...
    def history(self, room: str, offset: int, view: int, limit: int) -> tuple[Position, list[Entry]]: ...
    def state(self, room: str, view: int) -> State: ...
    def renew(self, rooms: Iterable[str], epoch: str) -> int: ...


class Missed(Struct, frozen=True):
    """What a member at `since` has missed: `history`, or the whole `state`, is complete up to the offset `up_to`."""

    since: int
    up_to: int
    history: list[Entry] = []
    state: State | None = None


class Joining:
    """Brings newcomers into the rooms of a hub."""

    def __init__(self, hub: Hub, reader: Reader, config: RealtimeConfig, clock: Clock, process: str) -> None:
        self._hub = hub
        self._reader = reader
        self._config = config
        self._clock = clock
        self._process = process

    async def join(self, connection: Connection, epoch: str, since: int | None, resume: str) -> None:
        """Bring `connection` up to date and attach it. Raises UnknownRoom or JournalUnavailable, and then nothing was sent.

        Between the last `await` and the attachment nothing else runs on the loop: what the room has offered until then is sent
        here, what it offers afterwards reaches the member with its cohort. So nothing is hidden and nothing comes twice.
        """
        for _ in range(JOIN_ATTEMPTS):
            room = await self._hub.open(connection.room)
            missed = await self._missed(room, connection.view, epoch, since)
            # A read may be older than the window reaches by now, or the room replaced meanwhile: read again.
            if self._hub.rooms.get(room.name) is room and room.window_since <= missed.up_to <= room.offset:
                self._welcome(room, connection, missed, resume)
                return
        raise JournalUnavailable("This wedding changes faster than it can be read; come back in a moment.", retry_after_ms=500)

    async def _missed(self, room: HeldRoom, view: int, epoch: str, since: int | None) -> Missed:
        if since is not None and epoch == room.epoch and since > room.offset:
            await self._hub.fill(room)  # the client comes from a process that has heard more than this one
        untold = room.untold(view, self._clock.now())
        match recovery(
            epoch=epoch,
            since=since,
            room_epoch=room.epoch,
            room_offset=room.offset,
            floor=max(room.floor, untold),
            window_since=max(room.window_since, untold),
            replay_max=self._config.replay_max_entries,
        ):
            case FromWindow(start):
                return Missed(start, start)
            case FromJournal(start):
                limit = self._config.replay_max_entries
                position, history = await self._hub.read(self._reader.history, room.name, start, view, limit)
                worth = worth_replaying([entry.n_bytes for entry in history], limit, self._config.window_bytes)
                if position.epoch == room.epoch and start >= position.floor and worth:
                    await self._reach(room, position)
                    return Missed(start, position.offset, history)
        state = await self._state(room, view)
        await self._reach(room, state.position)
        return Missed(head_of(view, state.position.heads), state.position.offset, state=state)

    async def _state(self, room: HeldRoom, view: int) -> State:
        """A state to start from, read once for many who come together: what is newer is in the window, and comes after it."""
        shared = room.states.get(view)
        now_s = self._clock.monotonic()
        if shared is not None:
            read_s, task = shared
            usable = not task.done() or (
                not task.cancelled() and task.exception() is None and room.window_since <= task.result().position.offset
            )
            if usable and now_s - read_s < STATE_MAX_AGE_S:
                return await asyncio.shield(task)
        task = asyncio.create_task(self._hub.read(self._reader.state, room.name, view), name=f"state of {room.name}")
        room.states[view] = (now_s, task)
        return await asyncio.shield(task)

    async def _reach(self, room: HeldRoom, position: Position) -> None:
        """Bring the room to `position` or beyond; what was read may be ahead of what was offered here."""
        if room.epoch != position.epoch:
            self._hub.replaced(room)
        elif room.offset < position.offset:
            await self._hub.fill(room)

    def _welcome(self, room: HeldRoom, connection: Connection, missed: Missed, resume: str) -> None:
        """Send welcome, snapshot or replay, and what came since; attach. Not a coroutine: nothing may come in between."""
        view, state = connection.view, missed.state
        # What the room has taken is in the replay of the newcomer, and must not come again with its cohort.
        self._hub.flushing.now(room)
        heartbeat_s = connection.plan.heartbeat_s
        recovered, process = state is None, self._process
        back_ms = return_ms(connection.role, *self._hub.crowd)
        connection.return_s = back_ms / 1_000
        welcome = Welcome(room.name, connection.member, room.epoch, recovered, resume, heartbeat_s, process, back_ms)
        texts = [encode(welcome)]
        prev = missed.since
        if state is not None:
            texts.append(self._snapshot(room, state, prev))
        now = self._clock.now()
        for frame in [Frame(entry) for entry in missed.history] + room.missed(missed.up_to, view):
            if frame.acts or frame.entry.expires_at is None or frame.entry.expires_at > now:
                texts.append(frame.text(prev))
                prev = frame.entry.offset
                room.measures.add(REPLAYED, state is None)
        texts.extend(frame.text() for frame in room.provisional.values() if sees(view, frame.audience))
        news = room.presence.arrive(connection.member)
        present = room.presence.everybody() if sees(view, Audience.CREW) else []
        texts.append(encode(Live(room.head(view), present, room.receipts.all() if sees(view, Audience.PLANNERS) else [])))
        connection.send(texts, always=True)
        room.attach(connection)
        self._hub.newcomers.add(connection)
        connection.acked = room.offset
        self._hub.measures.joins_total += 1
        if news:
            self._hub.announce(room, connection.member)
        elif room.presence.elsewhere(connection.member):
            room.roster_due_s = 0.0  # the process it comes from is to know of it before it gives the member up

    def _snapshot(self, room: HeldRoom, state: State, offset: int) -> bytes:
        """The state as a message, encoded once for all who get the same one."""
        for known, text in room.snapshots:
            if known is state:
                return text
        latest, recent = ([msgspec.Raw(Frame(entry).text()) for entry in part] for part in (state.latest, state.recent))
        text = encode(Snapshot(offset, state.items, latest, recent))
        room.snapshots.append((state, text))
        return text
