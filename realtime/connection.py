"""One member's connection: what waits to be sent to it, bounded, and who it is. Knows nothing of Channels or sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from realtime.closing import CloseCode
from realtime.messages import Goodbye, Sender, ToClient, encode
from realtime.roles import ROLES, VIEWS

OUTBOX_MAX_BYTES = 1_048_576
"""Centrifugo's limit (features.md row 17). A member further behind than this is closed and resumes from the journal."""


class Connection:
    """Text frames on their way to one member. `write` never waits and never raises; a member too far behind is ended."""

    __slots__ = ("_n_bytes", "_texts", "_waiter", "acked", "closing", "member", "role", "room", "view")

    def __init__(self, room: str, member: Sender) -> None:
        self.room = room
        self.member = member
        self.role = ROLES[member.role]
        self.view = VIEWS[self.role]
        self.acked = 0
        self.closing: CloseCode | None = None
        self._texts: deque[bytes] = deque()
        self._n_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    def write(self, texts: Iterable[bytes]) -> None:
        """Queue whole text frames, in order. After `end` nothing is taken."""
        if self.closing is not None:
            return
        for text in texts:
            self._texts.append(text)
            self._n_bytes += len(text)
        if self._n_bytes > OUTBOX_MAX_BYTES:
            self._texts.clear()
            self.end(CloseCode.TOO_SLOW, "You did not read what was sent; come back and resume.", retry_after_ms=1_000)
        self._wake()

    def tell(self, message: ToClient) -> None:
        """Queue one message that is for this member alone."""
        self.write((encode(message),))

    def end(self, code: CloseCode, reason: str, *, retry_after_ms: int = 0) -> None:
        """Say goodbye and close after what is queued has left. The first end counts."""
        if self.closing is None:
            self._texts.append(encode(Goodbye(code, reason, retry_after_ms)))
            self.closing = code
            self._wake()

    async def texts(self) -> list[bytes]:
        """Wait until something is queued or the connection ends; hand over what is queued and forget it."""
        if not self._texts and self.closing is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken = list(self._texts)
        self._texts.clear()
        self._n_bytes = 0
        return taken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
