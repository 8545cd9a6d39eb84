"""The hub of a process: from the journal and the mailbox to the members it holds.

Entries are offered to a room strictly in the order of their offsets. One that comes too early waits; what does not come is read
from the journal, and a question every second finds the loss that nothing else reveals: that of the last one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct

from realtime.clock import Clock
from realtime.closing import CloseCode
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.errors import JournalUnavailable, RealtimeError
from realtime.frame import Frame
from realtime.journal import Draft, Entry, Position, State
from realtime.kinds import KINDS, Priority
from realtime.kinds import Presence as PresenceData
from realtime.messages import Live, Sender, Snapshot, Welcome, encode
from realtime.parcel import Parcel, pack, unpack
from realtime.policy.recovery import FromJournal, FromWindow, recovery
from realtime.ports import Mailbox
from realtime.presence import Presence
from realtime.roles import Audience, head_of, sees
from realtime.room import HeldRoom

logger = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_ROOM_S = 30.0
"""A room without members is kept so long: a venue whose Wi-Fi blinks comes back to a warm window."""
READ_MAX = 1_000
"""Entries read at once when this process missed some."""
PROVISIONAL_MAX = 100
JOIN_ATTEMPTS = 5
STATE_MAX_AGE_S = 2.0
"""A state is shared by those who join within this. It would do for longer, but what expires must not be told late."""


class Reader(Protocol):
    """What the hub reads of the journal (`realtime.journal.Journal`), each in a thread."""

    def position(self, room: str) -> Position: ...
    def positions(self, rooms: Iterable[str]) -> dict[str, tuple[str, int]]: ...
    def since(self, room: str, offset: int, limit: int) -> list[Entry]: ...
    def history(self, room: str, offset: int, view: int, limit: int) -> tuple[Position, list[Entry]]: ...
    def state(self, room: str, view: int) -> State: ...


class Missed(Struct, frozen=True):
    """What a member at `since` has missed: `history`, or the whole `state`, is complete up to the offset `up_to`."""

    since: int
    up_to: int
    history: list[Entry] = []
    state: State | None = None


InThread = Callable[..., Any]


class Hub:
    """Maps rooms to the connections of this process. All methods run on its loop; `in_thread(function, *args)` is awaited."""

    def __init__(
        self, config: RealtimeConfig, reader: Reader, mailbox: Mailbox, clock: Clock, in_thread: InThread, process: str
    ) -> None:
        self.process = process
        self.rooms: dict[str, HeldRoom] = {}
        self._config = config
        self._reader = reader
        self._mailbox = mailbox
        self._clock = clock
        self._in_thread = in_thread
        self._opening: dict[str, asyncio.Task[HeldRoom]] = {}
        self._filling: dict[str, asyncio.Task[None]] = {}
        self.revoked: set[str] = set()
        self._roster_due_s = 0.0
        # How long publications of one room are joined into one buffer; set by the performance optimizer, 0 when idle.
        self.window_s = 0.0

    # -- members ------------------------------------------------------------------------------------------------------

    async def join(self, connection: Connection, epoch: str, since: int | None, resume: str) -> None:
        """Bring `connection` up to date and attach it. Raises UnknownRoom or JournalUnavailable, and then nothing was sent.

        Between the last `await` and the attachment nothing else runs on the loop: what the room has offered until then is sent
        here, what it offers afterwards reaches the member with its cohort. So nothing is hidden and nothing comes twice.
        """
        for _ in range(JOIN_ATTEMPTS):
            room = await self._open(connection.room)
            missed = await self._missed(room, connection.view, epoch, since)
            # A read may be older than the window reaches by now, or the room replaced meanwhile: read again.
            if self.rooms.get(room.name) is room and room.window_since <= missed.up_to <= room.offset:
                self._welcome(room, connection, missed, resume)
                return
        raise JournalUnavailable("This wedding changes faster than it can be read; come back in a moment.", retry_after_ms=500)

    async def _missed(self, room: HeldRoom, view: int, epoch: str, since: int | None) -> Missed:
        if since is not None and epoch == room.epoch and since > room.offset:
            await self._fill(room)  # the client comes from a process that has heard more than this one
        match recovery(
            epoch=epoch,
            since=since,
            room_epoch=room.epoch,
            room_offset=room.offset,
            floor=room.floor,
            window_since=room.window_since,
            replay_max=self._config.replay_max_entries,
        ):
            case FromWindow(start):
                return Missed(start, start)
            case FromJournal(start):
                limit = self._config.replay_max_entries
                position, history = await self._read(self._reader.history, room.name, start, view, limit)
                if position.epoch == room.epoch and start >= position.floor and len(history) <= limit:
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
        task = asyncio.create_task(self._read(self._reader.state, room.name, view), name=f"state of {room.name}")
        room.states[view] = (now_s, task)
        return await asyncio.shield(task)

    async def _reach(self, room: HeldRoom, position: Position) -> None:
        """Bring the room to `position` or beyond; what was read may be ahead of what was offered here."""
        if room.epoch != position.epoch:
            self._replaced(room)
        elif room.offset < position.offset:
            await self._fill(room)

    def _welcome(self, room: HeldRoom, connection: Connection, missed: Missed, resume: str) -> None:
        """Send welcome, snapshot or replay, and what came since; attach. Not a coroutine: nothing may come in between."""
        config, view, state = self._config, connection.view, missed.state
        room.flush()  # what the room has taken is in the replay of the newcomer, and must not come again with its cohort
        heartbeat_s = config.planner_heartbeat_s if connection.role & Audience.PLANNERS else config.heartbeat_s
        welcome = Welcome(room.name, connection.member, room.epoch, state is None, resume, heartbeat_s, self.process)
        texts = [encode(welcome)]
        prev = missed.since
        if state is not None:
            texts.append(self._snapshot(room, state, prev))
        now = self._clock.now()
        for frame in [Frame(entry) for entry in missed.history] + room.missed(missed.up_to, view):
            if frame.entry.expires_at is None or frame.entry.expires_at > now:
                texts.append(frame.text(prev))
                prev = frame.entry.offset
        texts.extend(frame.text() for frame in room.provisional.values() if sees(view, frame.audience))
        news = room.presence.arrive(connection.member)
        present = room.presence.everybody() if sees(view, Audience.CREW) else []
        texts.append(encode(Live(room.head(view), present)))
        connection.write(texts)
        room.attach(connection)
        if news:
            self._announce(room, connection.member, "here")

    def leave(self, connection: Connection, *, on_purpose: bool = False) -> None:
        """The connection is gone. Safe to call twice, and for one that never got in."""
        room = self.rooms.get(connection.room)
        if room is not None and room.detach(connection):
            room.presence.depart(connection.member, self._clock.monotonic(), on_purpose=on_purpose)
            if not room.n_members:
                room.empty_since_s = self._clock.monotonic()

    # -- publications -------------------------------------------------------------------------------------------------

    def committed(self, entries: Sequence[Entry]) -> None:
        """What this process has stored: to the members here, and to the other processes."""
        by_room: dict[str, list[Entry]] = {}
        for entry in entries:
            by_room.setdefault(entry.room, []).append(entry)
        for name, mine in by_room.items():
            self._offer(name, mine)
            self._mailbox.send(name, [pack(Parcel(self.process, mine))])

    def ephemeral(self, draft: Draft) -> None:
        """A publication that is never stored: to everybody who is there now."""
        self._send_fleeting(self.fleeting_entry(draft), provisional=False)

    def provisional(self, draft: Draft) -> None:
        """A P0 that the journal cannot take yet goes ahead; its stored copy has an offset and is told apart by its id."""
        self._send_fleeting(self.fleeting_entry(draft), provisional=True)

    def fleeting_entry(self, draft: Draft) -> Entry:
        """A draft as an entry without an offset."""
        audience = int(draft.kind.audience)
        return Entry(draft.room, 0, draft.kind.name, audience, draft.id, draft.sender, self._clock.now(), draft.data)

    def _send_fleeting(self, entry: Entry, *, provisional: bool) -> None:
        self._deliver_fleeting(entry, provisional)
        self._mailbox.send(entry.room, [pack(Parcel(self.process, fleeting=entry, provisional=provisional))])

    def receive(self, name: str, raw: bytes) -> None:
        """A parcel from the mailbox. One that cannot be read (another release) is dropped: the journal has it."""
        try:
            parcel = unpack(raw)
        except msgspec.MsgspecError:
            logger.warning("a parcel for %s could not be read", name)
            return
        room = self.rooms.get(name)
        if parcel.process == self.process or room is None:
            return
        if parcel.entries:
            self._offer(name, parcel.entries)
        if parcel.fleeting is not None:
            self._deliver_fleeting(parcel.fleeting, parcel.provisional)
        if parcel.roster is not None:
            room.presence.merge(parcel.process, parcel.roster, self._clock.monotonic())
        if parcel.roster_wanted:
            self._send_roster(room)

    def _offer(self, name: str, entries: Iterable[Entry]) -> None:
        room = self.rooms.get(name)
        if room is None:
            return
        urgent = False
        for entry in entries:
            room.take(entry)
            urgent |= KINDS[entry.kind].priority is Priority.P0 if entry.kind in KINDS else False
        self._flush(room, now=urgent)
        if room.ahead:
            self._fill_later(room)

    def _flush(self, room: HeldRoom, *, now: bool = False) -> None:
        """At once while this process is idle or when it is urgent; under load what comes within the window goes together."""
        window_s = self.window_s
        if now or not window_s:
            room.flush()
        elif room.pending and not room.flush_due:
            room.flush_due = True
            asyncio.get_running_loop().call_later(window_s, room.flush)

    def _deliver_fleeting(self, entry: Entry, provisional: bool) -> None:
        room = self.rooms.get(entry.room)
        if room is None:
            return
        frame = Frame(entry, provisional=provisional)
        if provisional and len(room.provisional) < PROVISIONAL_MAX:
            room.provisional[entry.sender.member, entry.id] = frame
        room.pass_on(frame)
        self._flush(room, now=provisional)

    # -- catching up --------------------------------------------------------------------------------------------------

    async def _open(self, name: str) -> HeldRoom:
        room = self.rooms.get(name)
        if room is not None:
            return room
        if name not in self._opening:
            task = asyncio.create_task(self._open_once(name), name=f"open {name}")
            self._opening[name] = task
            task.add_done_callback(lambda _: self._opening.pop(name, None))
        return await asyncio.shield(self._opening[name])

    async def _open_once(self, name: str) -> HeldRoom:
        # Heard from now on, read afterwards: what is stored in between comes either way.
        position: Position = await self._read(self._reader.position, name)
        await self._mailbox.subscribe(name)
        config = self._config
        presence = Presence(config.presence_grace_s, 2.5 * config.presence_refresh_s)
        room = HeldRoom(name, position, presence, config.window_entries, config.window_bytes)
        room.empty_since_s = self._clock.monotonic()
        lately = max(0, position.offset - config.window_entries)
        room.preload(
            await self._read(self._reader.since, name, lately, position.offset - lately) if lately < position.offset else []
        )
        self.rooms[name] = room
        await self._fill(room)
        self._mailbox.send(name, [pack(Parcel(self.process, roster_wanted=True))])
        return room

    def _fill_later(self, room: HeldRoom) -> None:
        if room.name not in self._filling:
            task = asyncio.create_task(self._fill_after_grace(room), name=f"fill {room.name}")
            self._filling[room.name] = task
            task.add_done_callback(lambda _: self._filling.pop(room.name, None))

    async def _fill_after_grace(self, room: HeldRoom) -> None:
        await self._clock.sleep(self._config.gap_grace_s)
        if room.ahead:
            try:
                await self._fill(room)
            except RealtimeError as error:
                logger.warning("%s has a gap after %d that cannot be read now: %s", room.name, room.offset, error)

    async def _fill(self, room: HeldRoom) -> None:
        """Read what the journal has beyond the room's offset and offer it."""
        while True:
            entries: list[Entry] = await self._read(self._reader.since, room.name, room.offset, READ_MAX)
            before = room.offset
            self._offer(room.name, entries)
            if len(entries) < READ_MAX or room.offset == before:
                return

    def expel(self, revoked: set[str]) -> None:
        """From now on nobody of `revoked` is let in; who is here goes."""
        for member in revoked - self.revoked:
            for room in self.rooms.values():
                for connection in [c for c in room.members() if c.member.member == member]:
                    connection.end(CloseCode.BAD_CREDENTIALS, "Your access to this wedding was withdrawn.")
        self.revoked = revoked

    # -- every second -------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Compare with the journal, let go of empty rooms, tell who left. Raises JournalUnavailable."""
        now_s = self._clock.monotonic()
        for room in list(self.rooms.values()):
            for member in room.presence.expire(now_s):
                self._announce(room, member, "gone")
            if room.empty_since_s is not None and now_s - room.empty_since_s > IDLE_ROOM_S:
                await self._close(room)
        if now_s >= self._roster_due_s:
            self._roster_due_s = now_s + self._config.presence_refresh_s
            for room in self.rooms.values():
                self._send_roster(room)
        if self.rooms:
            await self._reconcile()

    async def _reconcile(self) -> None:
        stored = await self._read(self._reader.positions, list(self.rooms))
        for room in list(self.rooms.values()):
            epoch, offset = stored.get(room.name, ("", 0))
            if epoch != room.epoch:
                self._replaced(room)
            elif offset > room.offset:
                await self._fill(room)

    def _replaced(self, room: HeldRoom) -> None:
        """The journal of this room is another one now: whoever is here starts from a snapshot."""
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]
            for connection in list(room.members()):
                connection.end(CloseCode.STATE_LOST, "The history of this wedding was replaced; come back for a snapshot.")

    async def _close(self, room: HeldRoom) -> None:
        del self.rooms[room.name]
        await self._mailbox.unsubscribe(room.name)

    def _send_roster(self, room: HeldRoom) -> None:
        self._mailbox.send(room.name, [pack(Parcel(self.process, roster=room.presence.roster()))])

    def _announce(self, room: HeldRoom, member: Sender, state: Literal["here", "gone"]) -> None:
        data = encode(PresenceData(member.member, member.role, member.name, state))
        kind = KINDS["presence"]
        entry = Entry(room.name, 0, kind.name, int(kind.audience), "", member, self._clock.now(), data)
        self._deliver_fleeting(entry, False)
        self._mailbox.send(room.name, [pack(Parcel(self.process, fleeting=entry, roster=room.presence.roster()))])

    def _snapshot(self, room: HeldRoom, state: State, offset: int) -> bytes:
        """The state as a message, encoded once for all who get the same one."""
        for known, text in room.snapshots:
            if known is state:
                return text
        latest, recent = ([msgspec.Raw(Frame(entry).text()) for entry in part] for part in (state.latest, state.recent))
        text = encode(Snapshot(offset, state.items, latest, recent))
        room.snapshots.append((state, text))
        return text

    async def _read(self, function: Callable[..., T], *args: object) -> T:
        result: T = await self._in_thread(function, *args)
        return result
