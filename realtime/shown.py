"""Which publications a client has shown before, told by their author and id."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from realtime.kinds import KINDS, Priority
from realtime.messages import Sender


class Head(Struct):
    """As much of a publication as it takes to tell whether it was shown."""

    kind: str
    id: str
    sender: Sender = msgspec.field(name="from")


decode_head = msgspec.json.Decoder(Head).decode


class Shown:
    """The last `at_most` of them."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._known: dict[tuple[str, str], None] = {}

    def first_time(self, sender: Sender, id: str) -> bool:
        """Whether this one is new. Asked once for each that is to be shown."""
        identity = (sender.member, id)
        if identity in self._known:
            return False
        self._known[identity] = None
        if len(self._known) > self._at_most:
            del self._known[next(iter(self._known))]
        return True


def urgent(kind: str) -> bool:
    """Whether this kind goes ahead of the stream, so that its stored copy is its second."""
    known = KINDS.get(kind)
    return known is not None and known.priority == Priority.P0
