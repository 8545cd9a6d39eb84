"""One room as this process holds it: where its stream stands, what was said lately, and who listens. No timers, no tasks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice, takewhile

from realtime.alarms import Alarms
from realtime.connection import PLAIN, Cohort, Connection, Item, joined
from realtime.deflate import deflated
from realtime.fence import fenced
from realtime.frame import Frame
from realtime.kinds import Priority
from realtime.measures import ROUND_S, TOGETHER_MAX, Measures
from realtime.presence import Presence
from realtime.publication import Entry, Position, State
from realtime.receipts import ReceiptBook
from realtime.report import PUBLICATIONS
from realtime.roles import VIEWS, Role, head_of, sees
from realtime.tally import Tally

logger = logging.getLogger(__name__)

AHEAD_MAX = 1_000
"""Entries kept that came before the ones they follow; beyond it they are read from the journal anyway."""
PROVISIONAL_MAX = 100
"""Emergencies kept for newcomers while the journal is down."""

SLICE_MEMBERS = 500
"""Served in one turn of the loop, about 2 ms: between two slices of a big room all other rooms have their turn."""
_RANK = (Role.PLANNER, Role.VENDOR, Role.COUPLE, Role.STAFF, Role.DISPLAY, Role.GUEST, Role.LOAD)
RANKS = {view: min(rank for rank, role in enumerate(_RANK) if VIEWS[role] == view) for view in VIEWS.values()}
"""Who is served first inside a flush: planner, vendor, couple, display, guest (design.md, Roles)."""

Pack = Callable[[Sequence[bytes], int], bytes]
"""Texts as one buffer of frames; texts of fewer bytes than the number are not worth compressing."""
PACK: dict[str, Pack] = {PLAIN: lambda texts, _: joined(texts), "deflate": deflated}
"""By encoding."""


class Slice:
    """A flush to a cohort that is too large for one turn. The members are those of the moment it was made."""

    __slots__ = ("frames", "items", "members")

    def __init__(self, members: Sequence[Connection], items: list[Item], frames: bytes) -> None:
        self.members = iter(members)
        self.items = items
        self.frames = frames


class HeldRoom:
    """The stream of one wedding in one process, in the order of its offsets.

    `offset` only ever moves by one: every entry up to it was offered to every member, so a member that attaches now has missed
    exactly what lies between its own position and `offset`.
    """

    def __init__(
        self, name: str, position: Position, presence: Presence, window_entries: int, window_bytes: int, measures: Measures
    ) -> None:
        self.name = name
        self.measures = Tally(name, fenced=fenced(name))
        self._measures = measures
        self.epoch = position.epoch
        self.offset = position.offset
        self.floor = position.floor
        self.heads = dict(position.heads)
        self.presence = presence
        self.receipts = ReceiptBook()
        self.alarms = Alarms()
        self.window: deque[Frame] = deque()
        self.window_since = position.offset
        # [(offset, audience, when it is over)] of the commands in the window that are not to be replayed for ever.
        self._passing: list[tuple[int, int, datetime]] = []
        self._window_n_bytes = 0
        self._window_max = (window_entries, window_bytes)
        self.ahead: dict[int, Entry] = {}
        self.cohorts: dict[Cohort, set[Connection]] = {}
        self.n_members = 0
        # {(member, id): an emergency that went ahead of its stored copy, for those who come meanwhile}
        self.provisional: dict[tuple[str, str], Frame] = {}
        # {cohort: what all its members get with the next flush}
        self.pending: dict[Cohort, list[Item]] = {}
        # Of what is pending for those who are not served lightly.
        self.most_urgent = Priority.P3
        self.flush_due_s: float | None = None
        self.light_due = False
        # What is on its way to a cohort so large that it takes several turns; in order.
        self.slices: deque[Slice] = deque()
        self.empty_since_s: float | None = None
        self.roster_due_s = 0.0
        # When another process spoke of the room, or was asked to, last.
        self.heard_s = 0.0
        # {view: (when it was asked for, the read)}, and the last few states as messages: those who come together share them.
        self.states: dict[int, tuple[float, asyncio.Task[State]]] = {}
        self.snapshots: deque[tuple[State, bytes]] = deque(maxlen=len(VIEWS))

    def members(self) -> Iterator[Connection]:
        """Every connection of the room."""
        return (connection for cohort in self.cohorts.values() for connection in cohort)

    def head(self, view: int) -> int:
        """The position of a member of `view` that has seen everything offered so far."""
        return head_of(view, self.heads)

    def attach(self, connection: Connection) -> None:
        self.cohorts.setdefault(connection.cohort, set()).add(connection)
        self._count(connection, 1)
        self.empty_since_s = None

    def detach(self, connection: Connection) -> bool:
        """Whether it was attached."""
        cohort = self.cohorts.get(connection.cohort, set())
        if connection not in cohort:
            return False
        cohort.discard(connection)
        self._count(connection, -1)
        if not cohort:
            del self.cohorts[connection.cohort]
        return True

    def _count(self, connection: Connection, by: int) -> None:
        self._measures.came(self.measures, connection.member.role, by)
        self.n_members += by

    def take(self, entry: Entry) -> None:
        """Take `entry`, and those that waited for it, into `pending`; an early one is kept."""
        if entry.offset > self.offset + 1:
            if len(self.ahead) < AHEAD_MAX:
                self.ahead[entry.offset] = entry
            return
        following: Entry | None = entry if entry.offset == self.offset + 1 else None
        while following is not None:
            self._advance(following)
            following = self.ahead.pop(self.offset + 1, None)

    def _advance(self, entry: Entry) -> None:
        frame = Frame(entry, received_s=self._measures.received_s(entry))
        for cohort in self.cohorts:
            if sees(cohort[0], entry.audience):
                self._owe(cohort, (frame.text(self.head(cohort[0])), frame))
        self.offset = entry.offset
        self.heads[entry.audience] = entry.offset
        if self.provisional:
            self._overtake(frame)
        self.measures.add(PUBLICATIONS, 1)
        self._remember(frame)

    def keep(self, frame: Frame) -> None:
        """Tell newcomers, too, of an emergency that goes ahead, unless its stored copy was faster."""
        stored = any(known.identity == frame.identity for known in self.window)
        if not stored and len(self.provisional) < PROVISIONAL_MAX:
            self.provisional[frame.identity] = frame
            self.alarms.hear(frame.entry)

    def _overtake(self, frame: Frame) -> None:
        """What went ahead is over with its stored copy, and with whatever is stored about the same: an all-clear."""
        kept = self.provisional.items()
        over = [who for who, early in kept if who == frame.identity or None is not early.key == frame.key]
        for who in over:
            del self.provisional[who]

    def pass_on(self, frame: Frame) -> None:
        """Take something without an offset into `pending`."""
        for cohort in self.cohorts:
            view, _, light = cohort
            if sees(view, frame.audience) and not (light and frame.spare):
                self._owe(cohort, (frame.text(), frame))
        self.measures.add(PUBLICATIONS, 1)

    def _owe(self, cohort: Cohort, item: Item) -> None:
        self.pending.setdefault(cohort, []).append(item)
        self.most_urgent = min(self.most_urgent, item[1].priority)

    def flush(self, compress_over_bytes: int, *, light: bool = True) -> None:
        """Send what is pending: one buffer a cohort, one call a member. Large cohorts are left to `send_slice`.

        `light` False: members who are served sparingly wait for more, unless something durable and urgent is for them.
        """
        pending, self.pending, self.most_urgent = self.pending, {}, Priority.P3
        self._measures.book_many()
        for cohort in sorted(pending, key=_rank):
            items = pending[cohort]
            if cohort[2] and not light and all(frame.priority > Priority.P1 for _, frame in items):
                self.pending[cohort] = items
                continue
            members = self.cohorts.get(cohort)
            if not members:
                continue
            frames = PACK[cohort[1]]([text for text, _ in items], compress_over_bytes)
            if len(members) <= SLICE_MEMBERS and not self.slices:
                # A list: to make it brings what is needed of each into the cache, all at once and not one after the other.
                self._write(list(members), items, frames)
            else:
                self.slices.append(Slice(list(members), items, frames))

    def send_slice(self) -> bool:
        """Serve the next members of a large cohort. Whether more are waiting."""
        if self.slices:
            part = self.slices[0]
            members = list(islice(part.members, SLICE_MEMBERS))
            self._write(members, part.items, part.frames)
            if len(members) < SLICE_MEMBERS:
                self.slices.popleft()
        return bool(self.slices)

    def _write(self, members: list[Connection], items: list[Item], frames: bytes) -> None:
        size, measures, now_s = len(frames), self._measures, self._measures.now_s
        served: list[float] = []
        # Before it is so: after dozens of sends nothing of what that takes is in the processor's cache any more.
        measures.delivered(self.measures, [frame for _, frame in items], served)
        begun, together, last_s = 0, measures.together, now_s()
        while part := members[begun : begun + together]:
            begun, n = begun + together, len(part)
            for connection in part:
                # The shortest way there is: one call for each member, of the socket itself.
                try:
                    sent = connection.push(frames)
                except OSError:
                    sent = 0
                if sent != size and not self._write_slowly(connection, items, frames, sent):
                    n -= 1
            at_s = now_s()
            if n:
                served.append(at_s)
                served.append(n)
            took_s, last_s = at_s - last_s, at_s
            if took_s > ROUND_S:
                together = together // 2 or 1
            elif len(part) == together < TOGETHER_MAX and took_s + took_s < ROUND_S:
                together += together
        measures.together = together

    def _write_slowly(self, connection: Connection, items: list[Item], frames: bytes, sent: int) -> bool:
        try:
            return connection.write(items, frames, sent)
        except Exception:  # a fault of one connection must not keep the others from hearing this
            logger.exception("%s of %s cannot be written to", connection.member.member, self.name)
        return False

    def _remember(self, frame: Frame) -> None:
        self.window.append(frame)
        self.alarms.hear(frame.entry)
        if frame.acts:
            self._note_end(frame.entry)
        self._window_n_bytes += frame.n_bytes
        entries, n_bytes = self._window_max
        while len(self.window) > entries or self._window_n_bytes > n_bytes:
            dropped = self.window.popleft()
            self._window_n_bytes -= dropped.n_bytes
            self.window_since = dropped.entry.offset

    def _note_end(self, entry: Entry) -> None:
        self._passing = [known for known in self._passing if known[0] > self.window_since]
        if entry.expires_at is not None:
            self._passing.append((entry.offset, entry.audience, entry.expires_at))
        if entry.replaces:
            others = [frame.entry for frame in self.window if frame.entry.kind == entry.kind]
            self._passing += [(other.offset, other.audience, entry.at) for other in others if other.id == entry.replaces]

    def untold(self, view: int, now: datetime) -> int:
        """The newest command for `view` in the window that is over (expired, replaced), 0 for none. It is not replayed,
        but what it did is to be known: whoever has not seen it needs a snapshot."""
        over = (offset for offset, audience, ends in self._passing if ends <= now and sees(view, audience))
        return max(over, default=0)

    def preload(self, entries: list[Entry]) -> None:
        """Fill the window of a room just opened with its last entries, so that those who return need no database.

        Pruned history has holes: only what is contiguous up to the room's offset counts.
        """
        expected = self.offset
        tail: list[Entry] = []
        for entry in reversed(entries):
            if entry.offset != expected:
                break
            tail.append(entry)
            expected -= 1
        self.window_since = expected
        for entry in reversed(tail):
            self._remember(Frame(entry))

    def said_since(self, moment: datetime) -> list[Entry]:
        """What of the window is younger, in order."""
        return [frame.entry for frame in takewhile(lambda frame: frame.entry.at > moment, reversed(self.window))][::-1]

    def missed(self, since: int, view: int) -> list[Frame]:
        """What `view` may see of the entries in the window after `since`; nothing that a later one of them replaces, but
        for commands: those who must not see these are given a snapshot (`untold`)."""
        frames = [frame for frame in self.window if frame.entry.offset > since and sees(view, frame.audience)]
        replaced = {(frame.entry.kind, frame.entry.replaces) for frame in frames if frame.entry.replaces}
        return [frame for frame in frames if frame.acts or (frame.entry.kind, frame.entry.id) not in replaced]


def _rank(cohort: Cohort) -> int:
    return RANKS[cohort[0]]
