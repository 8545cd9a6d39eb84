"""One room as this process holds it: where its stream stands, what was said lately, and who listens. No I/O, no tasks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from realtime.connection import Connection, joined
from realtime.frame import Frame
from realtime.journal import Entry, Position, State
from realtime.presence import Presence
from realtime.roles import VIEWS, head_of, sees

logger = logging.getLogger(__name__)

AHEAD_MAX = 1_000
"""Entries kept that came before the ones they follow; beyond it they are read from the journal anyway."""


class HeldRoom:
    """The stream of one wedding in one process, in the order of its offsets.

    `offset` only ever moves by one: every entry up to it was offered to every member, so a member that attaches now has missed
    exactly what lies between its own position and `offset`.
    """

    def __init__(self, name: str, position: Position, presence: Presence, window_entries: int, window_bytes: int) -> None:
        self.name = name
        self.epoch = position.epoch
        self.offset = position.offset
        self.floor = position.floor
        self.heads = dict(position.heads)
        self.presence = presence
        self.window: deque[Frame] = deque()
        self.window_since = position.offset
        self._window_n_bytes = 0
        self._window_max = (window_entries, window_bytes)
        self.ahead: dict[int, Entry] = {}
        self.cohorts: dict[int, set[Connection]] = {}
        self.provisional: dict[tuple[str, str], Frame] = {}
        # {view: texts that all its members get with the next flush}
        self.pending: dict[int, list[bytes]] = {}
        self.flush_due = False
        self.empty_since_s: float | None = None
        # {view: (when it was asked for, the read)}, and the last few states as messages: those who come together share them.
        self.states: dict[int, tuple[float, asyncio.Task[State]]] = {}
        self.snapshots: deque[tuple[State, bytes]] = deque(maxlen=len(VIEWS))

    @property
    def n_members(self) -> int:
        return sum(len(cohort) for cohort in self.cohorts.values())

    def members(self) -> Iterator[Connection]:
        """Every connection of the room."""
        return (connection for cohort in self.cohorts.values() for connection in cohort)

    def head(self, view: int) -> int:
        """The position of a member of `view` that has seen everything offered so far."""
        return head_of(view, self.heads)

    def attach(self, connection: Connection) -> None:
        self.cohorts.setdefault(connection.view, set()).add(connection)
        self.empty_since_s = None

    def detach(self, connection: Connection) -> bool:
        """Whether it was attached."""
        cohort = self.cohorts.get(connection.view, set())
        if connection not in cohort:
            return False
        cohort.discard(connection)
        if not cohort:
            del self.cohorts[connection.view]
        return True

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
        frame = Frame(entry)
        for view in self.cohorts:
            if sees(view, entry.audience):
                self.pending.setdefault(view, []).append(frame.text(self.head(view)))
        self.offset = entry.offset
        self.heads[entry.audience] = entry.offset
        self.provisional.pop((entry.sender.member, entry.id), None)
        self._remember(frame)

    def pass_on(self, frame: Frame) -> None:
        """Take something without an offset into `pending`."""
        for view in self.cohorts:
            if sees(view, frame.audience):
                self.pending.setdefault(view, []).append(frame.text())

    def flush(self) -> None:
        """Send what is pending: one buffer a view, one call a member."""
        self.flush_due = False
        pending, self.pending = self.pending, {}
        for view, texts in pending.items():
            frames = joined(texts)
            for connection in self.cohorts.get(view, ()):
                try:
                    connection.write(texts, frames)
                except Exception:  # a fault of one connection must not keep the others from hearing this
                    logger.exception("%s of %s cannot be written to", connection.member.member, self.name)

    def _remember(self, frame: Frame) -> None:
        self.window.append(frame)
        self._window_n_bytes += frame.n_bytes
        entries, n_bytes = self._window_max
        while len(self.window) > entries or self._window_n_bytes > n_bytes:
            dropped = self.window.popleft()
            self._window_n_bytes -= dropped.n_bytes
            self.window_since = dropped.entry.offset

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

    def missed(self, since: int, view: int) -> list[Frame]:
        """What `view` may see of the entries in the window after `since`; nothing that a later one of them replaces."""
        frames = [frame for frame in self.window if frame.entry.offset > since and sees(view, frame.audience)]
        replaced = {(frame.entry.kind, frame.entry.replaces) for frame in frames if frame.entry.replaces}
        return [frame for frame in frames if (frame.entry.kind, frame.entry.id) not in replaced]
