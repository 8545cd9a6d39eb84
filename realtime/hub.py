"""The hub of a process: from the journal and the mailbox to the members it holds.

Entries are offered to a room strictly in the order of their offsets. One that comes too early waits; what does not come is read
from the journal, and a question every second finds the loss that nothing else reveals: that of the last one.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from realtime.clock import Clock
from realtime.closing import CloseCode
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.connection_optimizer import ConnectionPlan
from realtime.errors import Overloaded, RealtimeError
from realtime.flushing import Flushing
from realtime.frame import Frame
from realtime.joining import Joining, Reader
from realtime.kinds import KINDS, Priority, Receipts, priority_of
from realtime.kinds import Presence as PresenceData
from realtime.measures import Measures
from realtime.messages import Sender, encode
from realtime.others import MISSED, Others
from realtime.parcel import Parcel, unpack
from realtime.ports import Mailbox
from realtime.presence import Presence
from realtime.publication import Draft, Entry, Position
from realtime.report import FAULTS
from realtime.revoked import Revoked, withdrawn
from realtime.roles import OPS, Audience
from realtime.room import HeldRoom
from realtime.standstill import Standstill

logger = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_ROOM_S = 30.0
"""A room without members is kept so long: a venue whose Wi-Fi blinks comes back to a warm window."""
READ_MAX = 1_000
"""Entries read at once when this process missed some."""
RECEIPTS_S = 0.02
"""The crew's receipts are told together, this long after the first; those of the others once a second."""
BEAT_ROOMS = 50
"""Rooms in one turn of the loop, about a millisecond, when all have their second's turn."""
LATELY_S = 2.0
"""So far back a process that has just opened a room is told what was said in it: what it did not read, nor hear."""
SERVER = Sender("system", "system", "WedSync")
PRESENCE = "presence"
"""The kind of what is said of who is here."""
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
        self.revoked: Revoked = frozenset()
        self.newcomers: set[Connection] = set()  # who came in since it was asked last who is revoked
        self._joining = Joining(self, reader, config, clock, process)
        self.measures = Measures(clock)
        self.flushing = Flushing(clock)
        self.standstill = Standstill(clock)
        self._others = Others(mailbox, clock, process, config.presence_refresh_s, self.standstill)
        # (members here, other workers), now and then: from it newcomers are told when to come back if this process dies.
        self.crowd = (0, 0)
        self.emergencies_total = 0

    # -- members ------------------------------------------------------------------------------------------------------

    async def join(self, connection: Connection, epoch: str, since: int | None, resume: str) -> None:
        """Bring `connection` up to date and attach it. Raises UnknownRoom or JournalUnavailable, and then nothing was sent."""
        await self._joining.join(connection, epoch, since, resume)

    def replan(self, connection: Connection, plan: ConnectionPlan) -> None:
        """Serve `connection` by another plan from now on, and tell it. What its old cohort is owed leaves first."""
        room = self.rooms.get(connection.room)
        if room is None or connection not in room.cohorts.get(connection.cohort, ()):
            return
        self.flushing.now(room)
        room.detach(connection)
        connection.follow(plan)
        room.attach(connection)

    def leave(self, connection: Connection, *, on_purpose: bool = False) -> None:
        """The connection is gone. Safe to call twice, and for one that never got in."""
        room = self.rooms.get(connection.room)
        self.measures.behind.pop(connection, None)
        self.newcomers.discard(connection)
        self.measures.too_slow_total += (
            connection.closing is CloseCode.TOO_SLOW and room is not None and not room.measures.fenced
        )
        if room is not None and room.detach(connection):
            room.presence.depart(
                connection.member, self._clock.monotonic(), on_purpose=on_purpose, return_s=connection.return_s
            )
            if not room.n_members:
                room.empty_since_s = self._clock.monotonic()

    def acknowledged(self, connection: Connection, offset: int) -> None:
        """`connection` has shown everything up to `offset`: how long that took is an upper bound that needs no second clock."""
        room, before = self.rooms.get(connection.room), connection.acked
        connection.acked = max(before, offset)
        if room is None or offset > room.offset:
            return
        frames = room.missed(before, connection.view) if before < offset else []
        ms = self.measures.seen(room.measures, [frame for frame in frames if frame.entry.offset <= offset])
        room.receipts.note(connection.member.member, offset, ms)
        if connection.role & Audience.CREW and not room.receipts.due:
            room.receipts.due = True
            asyncio.get_running_loop().call_later(RECEIPTS_S, self._tell_receipts, room)

    def _tell_receipts(self, room: HeldRoom) -> None:
        room.receipts.due = False
        if news := room.receipts.news():
            self._say(room, "receipts", Receipts(news), SERVER)

    def faults(self, connection: Connection, count: int) -> None:
        """`connection` says that it saw so many gaps, doubles and order faults."""
        room = self.rooms.get(connection.room)
        if room is not None:
            room.measures.add(FAULTS, count)
        if room is None or not room.measures.fenced:
            self.measures.gaps_total += count

    def fell_behind(self, connection: Connection) -> None:
        self.measures.fell_behind(connection)

    def late(self, connection: Connection, frames: Sequence[Frame]) -> None:
        """The kernel has taken for `connection` what it could not take at once."""
        room = self.rooms.get(connection.room)
        if room is not None:
            self.measures.delivered(room.measures, frames, [self.measures.now_s(), 1])

    # -- publications -------------------------------------------------------------------------------------------------

    def committed(self, entries: Sequence[Entry]) -> None:
        """What this process has stored: to the members here, and to the other processes."""
        by_room: dict[str, list[Entry]] = {}
        for entry in entries:
            by_room.setdefault(entry.room, []).append(entry)
            self.measures.published(priority_of(entry.kind))
        for name, mine in by_room.items():
            self._offer(name, mine)
            self._others.tell(name, self.rooms.get(name), Parcel(self.process, mine))

    def ephemeral(self, draft: Draft) -> None:
        """A publication that is never stored: to everybody who is there now. Raises Overloaded when it has waited here, because
        this process stood still: nobody wants it much later."""
        if self.standstill.lately:
            self.measures.shed[draft.sender.role] += 1
            raise Overloaded
        self._send_fleeting(draft, provisional=False)

    def provisional(self, draft: Draft) -> None:
        """A P0 that the journal cannot take yet goes ahead; its stored copy has an offset and is told apart by its id."""
        self._send_fleeting(draft, provisional=True)

    def forget(self, draft: Draft) -> None:
        """An emergency turned out to be stored already, or never will be: what went ahead of it is not told to newcomers."""
        room, who = self.rooms.get(draft.room), (draft.sender.member, draft.id)
        if room is not None:
            room.provisional.pop(who, None)
        self._others.tell(draft.room, room, Parcel(self.process, forget=who))

    def fleeting_entry(self, draft: Draft) -> Entry:
        """A draft as an entry without an offset."""
        kind, now, came_s = draft.kind, self._clock.now(), draft.received_s
        return Entry(draft.room, 0, kind.name, int(kind.audience), draft.id, draft.sender, now, draft.data, received_s=came_s)

    def _send_fleeting(self, draft: Draft, *, provisional: bool) -> None:
        entry = self.fleeting_entry(draft)
        self.measures.published(draft.kind.priority)
        self._deliver_fleeting(entry, provisional)
        parcel = Parcel(self.process, fleeting=entry, provisional=provisional)
        self._others.tell(entry.room, self.rooms.get(entry.room), parcel)

    def receive(self, name: str, raw: bytes) -> None:
        """A parcel from the mailbox. One that cannot be read (another release) is dropped: the journal has it."""
        try:
            parcel = unpack(raw)
        except msgspec.MsgspecError:
            logger.warning("a parcel for %s could not be read", name)
            return
        room = self.rooms.get(name)
        if parcel.process == self.process:
            return
        self._others.take(parcel.holds, self.rooms)
        if room is None:
            return
        room.heard_s = self._clock.monotonic()
        parcel = parcel.heard_by(self.process)
        if parcel.forget is not None:
            room.provisional.pop(parcel.forget, None)
        if parcel.entries:
            self._offer(name, parcel.entries)
        fleeting = parcel.fleeting
        # Who comes and goes elsewhere is told by the roster: only it knows who is here as well.
        if fleeting is not None and fleeting.kind != PRESENCE and not self.standstill.outlived(fleeting):
            self._deliver_fleeting(fleeting, parcel.provisional)
        if parcel.roster is not None:
            came, gone = room.presence.merge(parcel.process, parcel.roster, self._clock.monotonic())
            self._show(room, came, "here")
            self._show(room, gone, "gone")
        if parcel.roster_wanted:
            self._others.tell_roster(room, room.said_since(self._clock.now() - timedelta(seconds=LATELY_S)))

    def _offer(self, name: str, entries: Iterable[Entry]) -> None:
        room = self.rooms.get(name)
        if room is None:
            return
        for entry in entries:
            room.take(entry)
            self.emergencies_total += entry.kind in KINDS and KINDS[entry.kind].priority is Priority.P0
        self.flushing.flush(room)
        if room.ahead:
            self._fill_later(room)

    def _deliver_fleeting(self, entry: Entry, provisional: bool) -> None:
        room = self.rooms.get(entry.room)
        if room is None:
            return
        frame = Frame(entry, provisional=provisional, received_s=self.measures.received_s(entry))
        if provisional:
            room.keep(frame)
        self.emergencies_total += provisional
        room.pass_on(frame)
        self.flushing.flush(room)

    # -- catching up --------------------------------------------------------------------------------------------------

    async def open(self, name: str) -> HeldRoom:
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
        position: Position = await self.read(self._reader.position, name)
        await self._mailbox.subscribe(name)
        config = self._config
        presence = Presence(config.presence_grace_s, MISSED * config.presence_refresh_s)
        room = HeldRoom(name, position, presence, config.window_entries, config.window_bytes, self.measures)
        # Each room at a moment of its own: the rosters of 300 rooms in one turn of the loop are felt.
        share = zlib.crc32(name.encode()) / (1 << 32)
        room.roster_due_s = self._clock.monotonic() + share * config.presence_refresh_s
        room.empty_since_s = self._clock.monotonic()
        lately = max(0, position.offset - config.window_entries)
        room.preload(
            await self.read(self._reader.since, name, lately, position.offset - lately) if lately < position.offset else []
        )
        self.rooms[name] = room
        if name != OPS:
            self.measures.weddings.add(room.measures)
        self._others.greet(room)  # before the read: what is said after they have heard it comes from them, the rest is read
        await self.fill(room)
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
                await self.fill(room)
            except RealtimeError as error:
                logger.warning("%s has a gap after %d that cannot be read now: %s", room.name, room.offset, error)

    async def fill(self, room: HeldRoom) -> None:
        """Read what the journal has beyond the room's offset and offer it."""
        while True:
            entries: list[Entry] = await self.read(self._reader.since, room.name, room.offset, READ_MAX)
            before = room.offset
            self._offer(room.name, entries)
            if len(entries) < READ_MAX or room.offset == before:
                return

    def expel(self, revoked: Revoked) -> None:
        """From now on nobody of `revoked` is let in; who is here goes, and who was on the way in when it was so already."""
        news = revoked != self.revoked
        here = [c for room in self.rooms.values() for c in room.members()] if news else self.newcomers
        self.revoked, self.newcomers = revoked, set()
        for connection in here:
            if withdrawn(connection.member, connection.login, revoked):
                connection.end(CloseCode.BAD_CREDENTIALS, "Your access was withdrawn, or is another one now: come in anew.")

    # -- every second -------------------------------------------------------------------------------------------------

    async def beat(self) -> None:
        """Tell the other processes what is held here, and everybody who left. Waits for nothing but a turn of the loop: whoever
        is not heard of for a while is believed to be gone."""
        now_s = self._clock.monotonic()
        self._others.tick(self.rooms)
        for number, room in enumerate(list(self.rooms.values()), 1):
            if number % BEAT_ROOMS == 0:
                await self._clock.sleep(0)
            if self.rooms.get(room.name) is not room:
                continue  # it was given up meanwhile
            if room.receipts.untold:
                self._tell_receipts(room)
            gone, gone_elsewhere = room.presence.expire(now_s)
            self._show(room, gone + gone_elsewhere, "gone")
            if gone or now_s >= room.roster_due_s:
                self._tell_roster(room)

    async def compare(self) -> None:
        """With the journal; then let go of empty rooms. Raises JournalUnavailable."""
        asked = [(room, room.offset) for room in self.rooms.values()]
        stored = await self.read(self._reader.positions, [room.name for room, _ in asked]) if asked else {}
        for room, known in asked:
            if self.rooms.get(room.name) is not room:
                continue  # it was given up meanwhile
            epoch, offset = stored.get(room.name, ("", 0))
            if epoch == room.epoch and offset < known:
                logger.error("the journal of %s went back from %d to %d: it becomes another one", room.name, known, offset)
                await self.read(self._reader.renew, [room.name], epoch)
            if epoch != room.epoch or offset < known:
                self.replaced(room)
            elif offset > room.offset:
                await self.fill(room)
        now_s = self._clock.monotonic()
        for room in list(self.rooms.values()):
            if room.empty_since_s is not None and now_s - room.empty_since_s > IDLE_ROOM_S:
                await self._close(room)

    def replaced(self, room: HeldRoom) -> None:
        """The journal of this room is another one now: whoever is here starts from a snapshot."""
        if self.rooms.get(room.name) is room:
            self._forget(room)
            for connection in list(room.members()):
                room.detach(connection)
                connection.end(CloseCode.STATE_LOST, "The history of this wedding was replaced; come back for a snapshot.")

    async def _close(self, room: HeldRoom) -> None:
        self._forget(room)
        await self._mailbox.unsubscribe(room.name)

    def _forget(self, room: HeldRoom) -> None:
        del self.rooms[room.name]
        self.measures.weddings.remove(room.name)

    def announce(self, room: HeldRoom, member: Sender) -> None:
        """Somebody has come."""
        self._show(room, [member], "here")
        self._tell_roster(room)

    def _tell_roster(self, room: HeldRoom) -> None:
        """The other processes tell their own members what is news to them."""
        room.roster_due_s = self._clock.monotonic() + self._config.presence_refresh_s
        if not self._others.alone(room):
            self._others.tell_roster(room)

    def _show(self, room: HeldRoom, members: Sequence[Sender], state: Literal["here", "gone"]) -> None:
        """To those who are here: what this process has found out."""
        for member in members:
            data = PresenceData(member.member, member.role, member.name, state)
            room.pass_on(Frame(self._own(room, PRESENCE, data, member)))
        if members:
            self.flushing.flush(room)

    def _say(self, room: HeldRoom, kind_name: str, data: Struct, sender: Sender) -> None:
        """Something the server itself tells a room, to be shown and forgotten."""
        entry = self._own(room, kind_name, data, sender)
        self._deliver_fleeting(entry, False)
        self._others.tell(room.name, room, Parcel(self.process, fleeting=entry))

    def _own(self, room: HeldRoom, kind_name: str, data: Struct, sender: Sender) -> Entry:
        kind = KINDS[kind_name]
        return Entry(room.name, 0, kind.name, int(kind.audience), "", sender, self._clock.now(), encode(data))

    async def read(self, function: Callable[..., T], *args: object) -> T:
        return await self._in_thread(function, *args)  # type: ignore[no-any-return]
