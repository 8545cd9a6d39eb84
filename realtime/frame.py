"""A publication as it goes over the wire: encoded once, with one short tail for each position that members may have."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from realtime.kinds import KINDS, Priority, coalesce_key, decode_data
from realtime.messages import Pub, encode
from realtime.publication import Entry


class Frame:
    """One publication and its encodings.

    Everything but `prev` is the same for all members, so it is encoded once; members of one view share the whole text.
    """

    __slots__ = ("_head", "_key", "_prev", "_text", "acts", "audience", "entry", "priority", "received_s", "spare")

    def __init__(self, entry: Entry, *, provisional: bool = False, received_s: float | None = None) -> None:
        self.entry = entry
        self.audience = entry.audience
        # A kind this process does not know comes from another release: durable is the careful reading.
        kind = KINDS.get(entry.kind)
        self.priority = kind.priority if kind is not None else Priority.P1
        # Acts: what it did has to be told, also when the command itself is over.
        self.acts = kind is not None and kind.acts
        # Spare: one can do without it.
        self.spare = kind is not None and kind.spare
        # When the publisher's message arrived, on this process's monotonic clock; None: not known, or there is no publisher.
        self.received_s = received_s
        self._key: tuple[str, str] | None | bool = False
        self._prev = 0
        self._text = b""
        self._head = encode(
            Pub(
                kind=entry.kind,
                id=entry.id,
                sender=entry.sender,
                at=entry.at,
                data=Raw(entry.data),
                result=Raw(entry.result) if entry.result else UNSET,
                offset=entry.offset,
                provisional=provisional,
                expires_at=entry.expires_at,
                replaces=entry.replaces,
                ack=self.priority <= Priority.P1 and entry.offset > 0,
            )
        )

    def text(self, prev: int = 0) -> bytes:
        """The JSON text for members whose last visible offset is `prev`; 0 (nothing before, or ephemeral) leaves it out."""
        if not prev:
            return self._head
        if prev != self._prev:
            # One is enough: the views of a room differ rarely in it, and a replay that differs must leave nothing behind.
            self._prev, self._text = prev, b'%b,"prev":%d}' % (self._head[:-1], prev)
        return self._text

    @property
    def identity(self) -> tuple[str, str]:
        """(member, id): the same for what goes ahead and its stored copy."""
        return self.entry.sender.member, self.entry.id

    @property
    def key(self) -> tuple[str, str] | None:
        """(kind, key) of a publication that replaces the one before; worked out where somebody is behind, or something was
        provisional."""
        if isinstance(self._key, bool):
            self._key = None
            kind = KINDS.get(self.entry.kind)
            if kind is not None and kind.coalesce_key is not None:
                try:
                    key = coalesce_key(kind, decode_data(kind, self.entry.data), self.entry.sender.member)
                except msgspec.MsgspecError:
                    return None  # another release wrote it: it stands for itself
                self._key = (kind.name, key)
        return self._key

    @property
    def urgent_text(self) -> bytes:
        """The text without its place in the stream, to go ahead of it; clients show it once, by its id."""
        entry = msgspec.structs.replace(self.entry, offset=0)
        return Frame(entry, provisional=True).text()

    @property
    def n_bytes(self) -> int:
        """What it holds in memory, about."""
        return len(self._head) + self.entry.n_bytes
