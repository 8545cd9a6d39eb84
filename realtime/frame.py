"""A publication as it goes over the wire: encoded once, with one short tail for each position that members may have."""

from __future__ import annotations

from msgspec import UNSET, Raw

from realtime.journal import Entry
from realtime.messages import Pub, encode


class Frame:
    """One publication and its encodings.

    Everything but `prev` is the same for all members, so it is encoded once; members of one view share the whole text.
    """

    __slots__ = ("_head", "_prev", "_text", "audience", "entry")

    def __init__(self, entry: Entry, *, provisional: bool = False) -> None:
        self.entry = entry
        self.audience = entry.audience
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
    def n_bytes(self) -> int:
        """What it holds in memory, about."""
        return len(self._head) + len(self.entry.data) + len(self.entry.result)
