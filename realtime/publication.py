"""A publication on its way through this process: as a draft, with its offset, and where a room stands."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from realtime.errors import RealtimeError
from realtime.kinds import Kind
from realtime.messages import Sender


class Draft(Struct, frozen=True):
    """A checked publication that waits for its offset. `data` is the publisher's JSON, `payload` the same as a struct;
    `received_s` the monotonic time of its arrival, where it was taken."""

    room: str
    kind: Kind
    id: str
    data: bytes
    payload: Struct
    sender: Sender
    expires_at: datetime | None = None
    replaces: str = ""
    received_s: float | None = None


class Entry(Struct, frozen=True):
    """A publication that has its offset. `received_s`: as in its draft; not stored, and of this machine only."""

    room: str
    offset: int
    kind: str
    audience: int
    id: str
    sender: Sender
    at: datetime
    data: bytes
    result: bytes = b""
    expires_at: datetime | None = None
    replaces: str = ""
    received_s: float | None = None

    @property
    def n_bytes(self) -> int:
        """What it says, without who and when."""
        return len(self.data) + len(self.result)


class Stored(Struct, frozen=True):
    """The publication is in the journal. `entries`: what is new there because of it, in order; empty for a duplicate."""

    offset: int
    entries: tuple[Entry, ...] = ()
    duplicate: bool = False


class Swept(Struct, frozen=True):
    """What one look into the outbox has published, in order. `more`: it took all it may take at once."""

    entries: tuple[Entry, ...] = ()
    more: bool = False


class Position(Struct, frozen=True):
    """Where a room's journal stands. `heads` is {audience: its last offset}; entries up to `floor` may be gone."""

    epoch: str
    offset: int
    heads: dict[int, int]
    floor: int


class State(Struct, frozen=True):
    """What a snapshot carries besides the run sheet: the newest visible entry of each key, and the recent ones without."""

    position: Position
    items: list[dict[str, object]]
    latest: list[Entry]
    recent: list[Entry]


Outcome = Stored | RealtimeError
