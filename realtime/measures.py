"""What one process counts and times, for its report: cheap enough for every delivery. Totals since its start."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from realtime.clock import Clock
from realtime.closing import CloseCode
from realtime.connection import Connection
from realtime.frame import Frame
from realtime.histogram import EDGES_S, Histogram
from realtime.kinds import KINDS, Priority
from realtime.publication import Entry
from realtime.report import DELIVERIES, SOCKETS
from realtime.tally import Tallies, Tally

PRIORITIES = tuple(Priority)
ROUND_S = 0.000_1
"""What is nothing to anybody: members of a room who were served further apart are counted apart. They had it one after the
other, the first long before the last, at no even pace when the process was kept waiting."""
TOGETHER_MAX = 16
"""So many, at most, are counted with one look at the clock: as many as are served within `ROUND_S` at the pace of those before
them. Where the process is kept waiting among them, the others of these are counted later than they were served. Nobody ever
earlier."""
BOOK_MAX = 64
"""Deliveries to a room that are counted together at the latest: more at once would be felt by what comes meanwhile."""


class Measures:
    """Of the whole process. Latency is from the moment the kernel had a publisher's message (it may wait for a busy loop) to
    the moment it has it for a recipient: every delivery of what somebody said counts, that to a member which is behind when it
    is taken at last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now_s = clock.monotonic
        """The clock that latencies are of."""
        self.together = 1
        """How many were served within `ROUND_S` lately."""
        self._unbooked: list[tuple[Tally, Priority, float | None, list[float]]] = []
        self.publications = [0] * len(PRIORITIES)
        self.deliveries = [0] * len(PRIORITIES)
        self.latency = [Histogram() for _ in PRIORITIES]
        self.acked = [Histogram() for _ in PRIORITIES]
        # {connection: (since when it is behind without progress, how far it had come)}
        self.behind: dict[Connection, tuple[float, tuple[int, int]]] = {}
        self.connections: dict[str, int] = {}
        """{role: sockets}."""
        self.weddings = Tallies()
        self.joins_total = 0
        self.joins_refused_total = 0
        self.too_slow_total = 0
        self.gaps_total = 0
        self.shed: Counter[str] = Counter()
        """{role: publications}, refused or left out because of overload."""

    @property
    def outbox_bytes(self) -> int:
        """What waits for members that are behind. Walks only those."""
        return sum(connection.n_bytes for connection in self.behind)

    def stuck(self, after_s: float) -> list[Connection]:
        """Who is behind and has taken nothing for `after_s`, be it the goodbye. Forgets those who have caught up, or were ended
        for this."""
        now_s = self._clock.monotonic()
        found, still = [], {}
        for connection, (since_s, progress) in self.behind.items():
            if connection.waiting and connection.closing is not CloseCode.TOO_SLOW:
                came = connection.progress
                since_s = since_s if came == progress else now_s
                still[connection] = since_s, came
                if now_s - since_s > after_s:
                    found.append(connection)
        self.behind = still
        return found

    def fell_behind(self, connection: Connection) -> None:
        """Something for it could not be handed to the kernel at once."""
        if connection not in self.behind:
            self.behind[connection] = self._clock.monotonic(), connection.progress

    def received_s(self, entry: Entry) -> float | None:
        """When its publisher's message arrived, on the monotonic clock of this machine. None: nobody's did, the server itself
        says it.

        An entry of another machine, or read from the journal, has only its wall time: right as far as the clocks agree.
        """
        if entry.received_s is not None:
            return entry.received_s
        kind = KINDS.get(entry.kind)
        if kind is not None and not kind.publishers:
            return None
        age_s = (self._clock.now() - entry.at).total_seconds()
        return self._clock.monotonic() - max(0.0, age_s)

    def came(self, room: Tally, role: str, by: int) -> None:
        """So many more of `role` are in the room (-1: one is gone)."""
        self.connections[role] = self.connections.get(role, 0) + by
        room.add(SOCKETS[role], by)

    def published(self, priority: Priority) -> None:
        """This worker has taken one from a publisher."""
        self.publications[priority] += 1

    def delivered(self, room: Tally, frames: Iterable[Frame], served: list[float]) -> None:
        """All of `frames` are with the kernel. `served`: moment, members, moment, members, ..., those who had it one after the
        other, the last of them at that moment; it may be filled until this turn of the loop ends. They count with the next
        `book`."""
        for frame in frames:  # which are not kept: their memory is used again while it is in the cache
            self._unbooked.append((room, frame.priority, frame.received_s, served))

    def book_many(self) -> None:
        """`book` if there is much to count. Not while deliveries are made."""
        if len(self._unbooked) >= BOOK_MAX:
            self.book()

    def book(self) -> None:
        """Count what was delivered. Many at once: after dozens of sends nothing of this is in the processor's cache any more,
        and each by itself would have to bring it back."""
        unbooked, self._unbooked = self._unbooked, []
        for room, priority, received_s, served in unbooked:
            n = int(sum(served[1::2])) if received_s is None else self._time(room, priority, received_s, served)
            self.deliveries[priority] += n
            room.add(DELIVERIES, n)

    def _time(self, room: Tally, priority: Priority, received_s: float, served: list[float]) -> int:
        """How many deliveries these were."""
        total, buckets = 0, {} if room.fenced else self.latency[priority].counts
        runs, urgent = iter(served), priority <= Priority.P1
        for at_s, members in zip(runs, runs, strict=True):
            index, n = bisect_left(EDGES_S, at_s - received_s), int(members)
            buckets[index] = buckets.get(index, 0) + n
            total += n
            if urgent:
                room.time(index, n)
        return total

    def seen(self, room: Tally, frames: Sequence[Frame]) -> float | None:
        """A recipient has acknowledged `frames`. How long the last of them took, ms; None when it was not to be acknowledged at
        once, and so says nothing about the way."""
        now_s, ms = self._clock.monotonic(), None
        for frame in frames:
            if frame.received_s is None:
                continue
            took_s, asked = now_s - frame.received_s, frame.priority <= Priority.P1
            if asked and not room.fenced:
                self.acked[frame.priority].record(took_s, 1)
            ms = took_s * 1_000 if asked else None
        return ms
