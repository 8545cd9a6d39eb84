"""The bytes of hostile clients are what they say they are."""

from __future__ import annotations

import random
import zlib

import pytest

from realtime.closing import CloseCode
from realtime.drills.poisons import BINARY, BOMB_BYTES, NO_FRAME, POISONS, TEXT, Poison, close_code, frame


def opened(data: bytes) -> tuple[int, bytes]:
    """(first byte, payload) of a masked frame with a mask of zeros."""
    size, head = data[1] & 0x7F, 2
    if size >= 126:
        head = 4 if size == 126 else 10
        size = int.from_bytes(data[2:head], "big")
    return data[0], data[head + 4 : head + 4 + size]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_says_how_long_it_is(size: int) -> None:
    assert opened(frame(TEXT, b"x" * size)) == (0x81, b"x" * size)


def test_a_frame_may_go_on_be_compressed_or_lack_its_mask() -> None:
    assert frame(TEXT, b"x", fin=False)[0] == 0x01
    assert frame(TEXT, b"x", rsv1=True)[0] == 0xC1
    assert frame(BINARY, b"x", masked=False) == b"\x82\x01x"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", NO_FRAME),
        (b"\x81\x02hi", NO_FRAME),
        (b"\x81\x02hi\x88\x04" + (4409).to_bytes(2, "big") + b"no", 4409),
        (b"\x81\x7e\x00\xc8" + b"x" * 200 + b"\x88\x02" + (1002).to_bytes(2, "big"), 1002),
        (b"\x88\x00", 1005),
    ],
)
def test_the_close_code_is_read_from_what_the_server_said(said: bytes, code: int) -> None:
    assert close_code(said) == code


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.name)
def test_the_same_seed_is_the_same_poison_and_each_has_a_right_end(poison: Poison) -> None:
    once, again = (poison.make(random.Random(poison.name)) for _ in range(2))
    assert once == again and once
    assert poison.right <= {int(code) for code in CloseCode} and all(code >= 4400 for code in poison.right)


def test_the_bomb_is_small_until_it_is_opened() -> None:
    bomb = next(poison for poison in POISONS if poison.name == "a deflate bomb")
    first, packed = opened(bomb.make(random.Random(1)))
    assert first == 0xC1 and len(packed) < 65_536
    assert len(zlib.decompressobj(-15).decompress(packed + b"\0\0\xff\xff")) == BOMB_BYTES
