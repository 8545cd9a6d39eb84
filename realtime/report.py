"""What processes of a fleet tell each other about themselves: reports upwards, orders downwards. Measured or absent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from realtime.histogram import Buckets
from realtime.roles import ROLES

WorkerState = Literal["starting", "ready", "draining", "lame"]


FIGURES = ("publications_total", "deliveries_total", "replayed_total", "faults_total", "fenced")
COLUMNS = (*ROLES, *FIGURES)
"""Of a row of counts: sockets of each role, then the rest. Numbers of 64 bits, in the order of this machine's bytes, which is
that of all machines we run on."""
SOCKETS = {role: column for column, role in enumerate(ROLES)}
PUBLICATIONS, DELIVERIES, REPLAYED, FAULTS, FENCED = range(len(SOCKETS), len(COLUMNS))
WIDTH = len(COLUMNS)


class WeddingReport(Struct, omit_defaults=True):
    """One wedding as one worker holds it. Counters since this worker opened the room (`realtime.tally`)."""

    connections: dict[str, int]
    """{role: sockets}."""
    publications_total: int = 0
    deliveries_total: int = 0
    latency: Buckets = {}
    """Server latency of P0 and P1 deliveries."""
    replayed_total: int = 0
    """Publications that members who came back were given of what they had missed."""
    faults_total: int = 0
    """Gaps, doubles and order faults that its clients reported."""
    fenced: bool = False
    """A drill's, and no measure of the promise."""


Row = Sequence[int]


def reader(columns: Sequence[str]) -> Callable[[Row, Buckets], WeddingReport]:
    """What makes a report of a row with these columns and a latency. What another release does not count is 0."""
    sockets = [(column, role) for column, role in enumerate(columns) if role not in FIGURES]
    at = [columns.index(figure) if figure in columns else -1 for figure in FIGURES]

    def read(row: Row, latency: Buckets) -> WeddingReport:
        publications, deliveries, replayed, faults, fenced = [row[column] if column >= 0 else 0 for column in at]
        people = {role: row[column] for column, role in sockets if row[column]}
        return WeddingReport(people, publications, deliveries, latency, replayed, faults, fenced != 0)

    return read


class Packed(Struct, frozen=True):
    """Hundreds of wedding reports on their way: a row of `counts` for each name."""

    names: Raw
    counts: bytes
    latency: dict[str, Buckets]
    """Of those that have any."""
    columns: tuple[str, ...] = COLUMNS

    def weddings(self) -> dict[str, WeddingReport]:
        """{wedding: its report}. Raises msgspec.ValidationError when there is not one row for each name."""
        names, width, latency = msgspec.msgpack.decode(self.names, type=list[str]), len(self.columns), self.latency
        if len(self.counts) != 8 * width * len(names):
            raise msgspec.ValidationError(f"{len(self.counts)} bytes are not {width} counts of {len(names)} weddings")
        counts, read = memoryview(self.counts).cast("q").tolist(), reader(self.columns)
        rows = (counts[at : at + width] for at in range(0, len(counts), width))
        return {name: read(row, latency.get(name, {})) for name, row in zip(names, rows, strict=True)}


class Tuned(Struct, frozen=True):
    """One decision of the performance optimizer: when (UTC seconds), what changed, and why."""

    at_s: float
    change: str
    reason: str


class WorkerReport(Struct, frozen=True, omit_defaults=True):
    """One worker, once a second. `_total`: since its start, so that a reader makes deltas per `worker`, which is new after a
    restart. A reading that could not be taken is None, never 0."""

    worker: str
    """Unique for the life of the process: host.pid.random."""
    slot: str
    """The place it fills in its fleet, the same after a restart: "w1"."""
    host: str
    pid: int
    at_s: float
    """UTC seconds of this report."""
    started_s: float
    state: WorkerState
    reason: str = ""
    """Why it is in this state, in words."""
    address: str = ""
    """host:port at which a proxy reaches it; "" behind the dispatcher of its machine."""
    connections: dict[str, int] = {}
    """{role: sockets}."""
    weddings: dict[str, WeddingReport] = {}
    packed: Packed | None = None
    """`weddings`, as they are sent. None in what was read."""
    joins_total: int = 0
    joins_refused_total: int = 0
    publications_total: dict[str, int] = {}
    """{priority: count}, "P0" to "P3"."""
    deliveries_total: dict[str, int] = {}
    shed_total: dict[str, int] = {}
    """{role: publications that were not delivered because this worker was overloaded}."""
    too_slow_total: int = 0
    gaps_total: int | None = None
    """Gaps, doubles and order faults that clients reported. Anything above 0 is a broken promise."""
    busy: float | None = None
    """CPU seconds a second; 1.0 is a whole core."""
    lag_s: float | None = None
    """The longest time in the last second that the loop was late for a timer."""
    rss_bytes: int | None = None
    outbox_bytes: int = 0
    """Waiting for members that are behind."""
    journal_healthy: bool = True
    layer_healthy: bool | None = None
    """None: there are no other processes."""
    latency: dict[str, Buckets] = {}
    """{priority: server latency, publisher's socket to recipient's}."""
    acked: dict[str, Buckets] = {}
    """{priority: publisher's socket to the recipient's acknowledgement}: an upper bound that needs no second clock."""
    canaries: dict[str, float | None] = {}
    """{other worker: seconds its last canary took to arrive here; None: none came lately}."""
    window_s: float = 0.0
    shed: str = ""
    """What is being shed now, "" for nothing."""
    plans: dict[str, int] = {}
    """{how connections are served: count}: "light, deflate" of the last round of planning."""
    tuned: list[Tuned] = []
    """The last changes, newest last."""


class Order(Struct, frozen=True, tag_field="t", tag=str.lower):
    """Something a worker is told to do."""


class Drain(Order, frozen=True):
    """Take no new members, move everybody elsewhere, then end."""

    reason: str
    deadline_s: float = 60.0


class Move(Order, frozen=True):
    """Ask the members of one wedding to come back elsewhere: make-before-break, guests first."""

    room: str
    reason: str
    per_s: float = 20.0


class Describe(Order, frozen=True):
    """Say how the members of one wedding are served: a `RoomReport`, noted under `describes(...)`."""

    room: str


AnyOrder = Drain | Move | Describe


class ConnectionReport(Struct, frozen=True, omit_defaults=True):
    """One connection and its plan. What was not measured is None."""

    member: str
    role: str
    name: str
    encoding: str
    light: bool
    batch_s: float
    heartbeat_s: float
    reason: str
    rtt_s: float | None = None
    waiting_bytes: int = 0


class RoomReport(Struct, frozen=True):
    """The members of a room on one worker; `more`: how many are not listed."""

    worker: str
    slot: str
    at_s: float
    connections: list[ConnectionReport]
    more: int = 0


def describes(worker: str, room: str) -> str:
    """The name of the note with the answer to `Describe`."""
    return f"room:{worker}:{room}"


def decode_report(raw: bytes) -> WorkerReport:
    """What `encode_report` made. Raises msgspec.MsgspecError."""
    report = _decode_report(raw)
    return report if report.packed is None else replace(report, weddings=report.packed.weddings(), packed=None)


encode_report = msgspec.msgpack.Encoder().encode
_decode_report = msgspec.msgpack.Decoder(WorkerReport).decode
encode_order = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(AnyOrder).decode
encode_room = msgspec.msgpack.Encoder().encode
decode_room = msgspec.msgpack.Decoder(RoomReport).decode
