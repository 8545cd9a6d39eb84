"""What processes tell each other about a room, over the mailbox."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from realtime.journal import Entry
from realtime.messages import Sender


class Parcel(Struct, frozen=True, omit_defaults=True):
    """What processes tell each other about a room: new entries, something fleeting, or who is connected to the sender."""

    process: str
    entries: list[Entry] = []
    fleeting: Entry | None = None
    provisional: bool = False
    roster: list[Sender] | None = None
    roster_wanted: bool = False


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Parcel).decode


def parcel_of(process: str, entry: Entry) -> bytes:
    """An entry as a parcel, for a process that has no hub of its own running."""
    return pack(Parcel(process, [entry]) if entry.offset else Parcel(process, fleeting=entry))
