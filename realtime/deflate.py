"""Frames of permessage-deflate (RFC 7692): one compressed frame for a whole cohort, and input inflated under a limit.

Each message is compressed by itself, from an empty window. So one frame serves every member, and a secret in one message
cannot be guessed from the length of another (CRIME, BREACH): what an attacker publishes and what others say are never in one
window. What is for one member alone - welcome with its resume token, snapshot, replay, answers - is never in a shared buffer:
it leaves uncompressed, which costs bytes once a connection and no CPU of the others when thousands come at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from realtime.errors import Malformed, TooLarge
from realtime.policy.encoding import WINDOW_BITS

LEVEL = 4
"""Measured with publications of 1 KB: 42.2 % in 15 us. Level 1: 43.4 % in 14 us; level 6: 42.0 % in 16 us, at 4 KB 46 us
against 37."""
MEMORY_LEVEL = 5
"""The default, 8, takes 140 KB for each message: in a busy process they are never in the cache, and 100 members cost 1.13
times the CPU of plain instead of 1.03 (tests/acceptance/test_compression_cost.py). Less than 5 compresses worse."""
_TAIL = b"\x00\x00\xff\xff"
"""Of every Z_SYNC_FLUSH; the sender leaves it out and the receiver puts it back (section 7.2)."""
FINAL_BYTES = 256
"""What a final block counts for: zlib copies what follows it, and a new decompressor begins there."""


def deflated(texts: Iterable[bytes], over_bytes: int) -> bytes:
    """Texts as one buffer of frames, to be sent to each member that negotiated compression with one call.

    A text of fewer than `over_bytes` bytes, or one that does not get smaller, goes as it is: each frame says which (RSV1).
    """
    return b"".join([_frame(text, over_bytes) for text in texts])


def _frame(text: bytes, over_bytes: int) -> bytes:
    first = 0x81  # FIN and text
    if len(text) >= over_bytes:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)
        packed = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if len(packed) - len(_TAIL) < len(text):
            first, text = 0xC1, packed[: -len(_TAIL)]  # and RSV1
    size = len(text)
    if size < 126:
        return b"%c%c%b" % (first, size, text)
    if size < 65_536:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), text)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), text)


class Inflater:
    """Input of one connection. Holds a decompressor only inside a message; of 15 bits, which reads every smaller window too."""

    __slots__ = ("_left", "_limit", "_packed_left", "_zlib")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._left = self._packed_left = 0
        self._zlib: zlib._Decompress | None = None

    def start(self) -> None:
        """A compressed message begins."""
        self._left = self._limit
        self._packed_left = 2 * self._limit  # packed, a text is larger by an eighth at most (zlib, deflateBound)
        self._zlib = zlib.decompressobj(-15)

    def take(self, data: bytes) -> bytes:
        """The next part of it. Raises TooLarge once the message has more bytes than the limit, Malformed when it is no deflate.

        Never more than one byte beyond the limit is inflated, however well it was packed; nor is more than twice the
        limit read, for there are blocks with nothing in them.
        """
        if self._zlib is None:
            raise TooLarge
        self._packed_left -= len(data)
        try:
            text = self._zlib.decompress(data, self._left + 1)
            # A final block (section 7.2.3.4) ends a stream of zlib, not the message.
            while self._zlib.eof and len(text) <= self._left and self._packed_left >= 0:
                self._packed_left -= FINAL_BYTES
                data, self._zlib = self._zlib.unused_data, zlib.decompressobj(-15)
                text += self._zlib.decompress(data, self._left + 1 - len(text))
        except zlib.error as error:
            self._zlib = None
            raise Malformed(f"The message cannot be inflated: {error}") from error
        self._left -= len(text)
        if self._left < 0 or self._packed_left < 0:
            self._zlib = None
            raise TooLarge(f"The message has more than {self._limit} bytes when inflated, or twice as many as it came.")
        return text

    def end(self) -> bytes:
        """What the end of the message still brings."""
        text = self.take(_TAIL)
        self._zlib = None
        return text
