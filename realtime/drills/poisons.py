"""Bytes that a broken or hostile client sends, each with the ends that are right for it. No I/O."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from msgspec import Struct

from realtime.closing import CloseCode

TEXT, BINARY, CONTINUATION, PING = 0x1, 0x2, 0x0, 0x9
NO_FRAME = 1006
"""The connection ended without a close frame."""
BOMB_BYTES = 10 * 1_048_576
STRIKES = 60
"""More of what is refused in a row than a server puts up with (`realtime.policy.limits`)."""


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv1: bool = False, masked: bool = True) -> bytes:
    """One frame of a client (RFC 6455 section 5.2)."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    size, mask = len(payload), 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload  # a mask of zeros leaves the payload as it is


def close_code(data: bytes) -> int:
    """The code of the first close frame among the server's frames; NO_FRAME when there is none."""
    while len(data) >= 2:
        size, head = data[1] & 0x7F, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(data[2:head], "big")
        if data[0] & 0x0F == 0x8:
            return int.from_bytes(data[head : head + 2], "big") if size >= 2 else 1005
        data = data[head + size :]
    return NO_FRAME


class Poison(Struct, frozen=True):
    """Something bad to say after the upgrade; `right`: the close codes that are an answer to it. `deflate`: negotiate it."""

    name: str
    make: Callable[[random.Random], bytes]
    right: frozenset[int]
    deflate: bool = False


def _said(text: str) -> Callable[[random.Random], bytes]:
    return lambda rng: frame(TEXT, text.encode()) * STRIKES


def _bomb(rng: random.Random) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b" " * BOMB_BYTES) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, packed.removesuffix(b"\0\0\xff\xff"), rsv1=True)


_TOO_LARGE, _MALFORMED = frozenset({int(CloseCode.TOO_LARGE)}), frozenset({int(CloseCode.MALFORMED)})
_ABUSE = frozenset({int(CloseCode.ABUSE)})
DEEP = "[" * 2_000 + "]" * 2_000
PUBLISH = '{"t":"publish","id":"p","kind":%s,"data":%s}'

POISONS: tuple[Poison, ...] = (
    Poison("invalid UTF-8", lambda rng: frame(TEXT, b'{"t":"ping","ref":"\xff\xfe"}'), _MALFORMED),
    Poison("a message of 1 MB", lambda rng: frame(TEXT, b"x" * 1_048_576), _TOO_LARGE),
    Poison("a message above the role's limit", lambda rng: frame(TEXT, b"x" * 20_000), _TOO_LARGE),
    Poison("JSON 2,000 levels deep", _said(DEEP), _ABUSE),
    Poison("deep JSON as data", _said(PUBLISH % ('"reaction"', "[" * 1_500 + "]" * 1_500)), _ABUSE),
    Poison("fields of the wrong type", _said('{"t":"publish","id":5,"kind":[],"data":null}'), _ABUSE),
    Poison("an unknown message", _said('{"t":"reboot"}'), _ABUSE),
    Poison("an unknown kind", _said(PUBLISH % ('"no.such"', "{}")), _ABUSE),
    Poison("not JSON", _said("hello?"), _ABUSE),
    Poison("a binary message", lambda rng: frame(BINARY, b"\0" * 100), _MALFORMED),
    Poison("a deflate bomb", _bomb, _TOO_LARGE, deflate=True),
    Poison("broken deflate", lambda rng: frame(TEXT, rng.randbytes(300), rsv1=True), _MALFORMED, deflate=True),
    Poison("compression nobody agreed on", lambda rng: frame(TEXT, rng.randbytes(300), rsv1=True), _MALFORMED),
    Poison(
        "fragments without an end",
        lambda rng: frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * 140_000,
        _TOO_LARGE,
    ),
    Poison("a continuation of nothing", lambda rng: frame(CONTINUATION, b"x"), _MALFORMED),
    Poison("frames without a mask", lambda rng: frame(TEXT, b'{"t":"ping"}', masked=False), _MALFORMED),
    Poison("a ping of 200 bytes", lambda rng: frame(PING, b"x" * 200), _MALFORMED),
    Poison("an unknown opcode", lambda rng: frame(0x5, b"x"), _MALFORMED),
    Poison("random bytes", lambda rng: b"\xff" + rng.randbytes(4_000), _MALFORMED),
)
