"""One member's connection: what waits to be sent to it, bounded, and who it is. Knows nothing of Channels or sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from realtime.closing import CloseCode
from realtime.messages import Goodbye, Sender, ToClient, encode
from realtime.roles import ROLES, VIEWS

OUTBOX_MAX_BYTES = 1_048_576
"""Centrifugo's limit (features.md row 17). A member further behind than this is closed and resumes from the journal."""
WIRE_EXTENSION = "wedsync.wire"
"""The ASGI scope extension with the connection's `Wire`, where the server offers one."""


class Wire(Protocol):
    """A shortcut of the server: finished WebSocket frames straight to the socket."""

    def open(self, drained: Callable[[], None], take: Callable[[bytes | None], None]) -> None:
        """From now on call `drained` when all that waited has left, and `take` for each message (None: a binary one)."""

    def send(self, frames: bytes) -> bool:
        """Hand over whole frames. False: part of it waits, send nothing more until `drained`."""

    def close(self, code: int) -> None:
        """Send the close frame."""


def text_frame(text: bytes) -> bytes:
    """One unfragmented, unmasked text frame (RFC 6455 section 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


def joined(texts: Iterable[bytes]) -> bytes:
    """Texts as one buffer of frames, to be sent to each member of a cohort with one call."""
    return b"".join([text_frame(text) for text in texts])


class Connection:
    """Text frames on their way to one member. `write` never waits and never raises; a member too far behind is ended.

    With a `wire` they go to the socket at once, and wait here only while the socket takes nothing. Without one they wait for
    `texts`, which the consumer awaits.
    """

    __slots__ = ("_n_bytes", "_texts", "_waiter", "_wire", "acked", "behind", "closing", "member", "role", "room", "view")

    def __init__(self, room: str, member: Sender, wire: Wire | None = None) -> None:
        self.room = room
        self.member = member
        self.role = ROLES[member.role]
        self.view = VIEWS[self.role]
        self.acked = 0
        self.closing: CloseCode | None = None
        # Behind: what is written has to wait for what is written already. Always so without a wire.
        self.behind = wire is None
        self._wire = wire
        self._texts: deque[bytes] = deque()
        self._n_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    def write(self, texts: list[bytes], frames: bytes = b"") -> None:
        """Send whole text frames, in order. `frames`: the same joined, where the caller has it for many. Not after `end`."""
        if not self.behind:
            if self.closing is None and self._wire is not None:
                self.behind = not self._wire.send(frames or joined(texts))
            return
        if self.closing is not None:
            return
        for text in texts:
            self._texts.append(text)
            self._n_bytes += len(text)
        if self._n_bytes > OUTBOX_MAX_BYTES:
            self._forget()
            self.end(CloseCode.TOO_SLOW, "You did not read what was sent; come back and resume.", retry_after_ms=1_000)
        self._wake()

    def drained(self) -> None:
        """The socket has taken everything: send what waited, and be as the others again when that is taken too."""
        self.behind = False
        if self._texts and self._wire is not None:
            waited = joined(self._texts)
            self._forget()
            self.behind = not self._wire.send(waited)
        if self.closing is not None and not self.behind and self._wire is not None:
            self._wire.close(int(self.closing))

    def tell(self, message: ToClient) -> None:
        """Send one message that is for this member alone."""
        self.write([encode(message)])

    def end(self, code: CloseCode, reason: str, *, retry_after_ms: int = 0) -> None:
        """Say goodbye and close after what is queued has left. The first end counts."""
        if self.closing is not None:
            return
        goodbye = encode(Goodbye(code, reason, retry_after_ms))
        if self._wire is None or self.behind:
            self._texts.append(goodbye)
        else:
            self.behind = not self._wire.send(text_frame(goodbye))
        self.closing = code
        if self._wire is not None and (not self.behind or code is CloseCode.TOO_SLOW):
            # One that does not read is not waited for: the close follows what the kernel has.
            self._wire.close(int(code))
        self._wake()

    async def texts(self) -> list[bytes]:
        """Without a wire: wait until something is queued or the connection ends; hand it over and forget it."""
        if not self._texts and self.closing is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken = list(self._texts)
        self._forget()
        return taken

    def _forget(self) -> None:
        self._texts.clear()
        self._n_bytes = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
