"""What processes tell each other about a room, over the mailbox."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from realtime.messages import Sender
from realtime.publication import Entry


class Parcel(Struct, frozen=True, omit_defaults=True):
    """What processes tell each other about a room: new entries, something fleeting, or who is connected to the sender.

    `holds`: in `realtime.others.FLEET`, the rooms that the sender holds. `forget`: (member, id) of what was provisional and is
    stored already, or never will be.
    """

    process: str
    entries: list[Entry] = []
    fleeting: Entry | None = None
    provisional: bool = False
    roster: list[Sender] | None = None
    roster_wanted: bool = False
    holds: list[str] = []
    forget: tuple[str, str] | None = None

    def heard_by(self, process: str) -> Parcel:
        """As `process` has to read it: on another machine the monotonic clock is not the sender's. A process is named
        host.pid.random."""
        if process.rsplit(".", 2)[0] == self.process.rsplit(".", 2)[0]:
            return self
        entries = [replace(entry, received_s=None) for entry in self.entries]
        fleeting = replace(self.fleeting, received_s=None) if self.fleeting is not None else None
        return replace(self, entries=entries, fleeting=fleeting)


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Parcel).decode


def parcel_of(process: str, entry: Entry) -> bytes:
    """An entry as a parcel, for a process that has no hub of its own running."""
    return pack(Parcel(process, [entry]) if entry.offset else Parcel(process, fleeting=entry))
