"""Frames that several members share, and input that is not what it seems."""

from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import OPEN, Protocol, Side

from realtime.connection import joined
from realtime.deflate import Inflater, deflated
from realtime.errors import Malformed, TooLarge

PUBLICATION = json.dumps(
    {
        "t": "pub",
        "kind": "timeline.shift",
        "id": "01J9Z4",
        "from": {"member": "m12", "role": "planner", "name": "Sam"},
        "result": {
            "items": [
                {"id": n, "start": f"2027-06-12T13:{n}:00Z", "minutes": n, "title": title, "where": "Rose garden", "version": 3}
                for n, title in enumerate(
                    ("Ceremony", "Photographs", "Cake and coffee", "Speeches", "Dinner", "First dance"), 30
                )
            ],
        },
        "offset": 10,
        "prev": 9,
    }
).encode()


def read(frames: bytes) -> list[bytes]:
    """What a client that is not ours reads: python-websockets, with the window that was agreed on."""
    client = Protocol(Side.CLIENT, state=OPEN, max_size=None)
    client.extensions = [
        PerMessageDeflate(
            remote_no_context_takeover=True,
            local_no_context_takeover=True,
            remote_max_window_bits=12,
            local_max_window_bits=12,
        )
    ]
    client.receive_data(frames)
    assert client.parser_exc is None
    return [frame.data for frame in client.events_received()]  # type: ignore[union-attr]


@given(st.lists(st.text(max_size=400) | st.integers(65_500, 65_600).map("ab".__mul__)), st.integers(0, 300))
def test_a_client_reads_what_was_said(words: list[str], over_bytes: int) -> None:
    texts = [word.encode() for word in words]
    assert read(deflated(texts, over_bytes)) == texts


def test_what_is_short_or_cannot_be_made_smaller_goes_as_it_is() -> None:
    noise = zlib.compress(PUBLICATION)
    assert deflated([b"{}", noise], 0) == joined([b"{}", noise])
    assert deflated([PUBLICATION], len(PUBLICATION) + 1) == joined([PUBLICATION])
    assert deflated([PUBLICATION], len(PUBLICATION))[0] == 0xC1


def test_a_publication_takes_less_than_half() -> None:
    assert len(PUBLICATION) > 700
    assert len(deflated([PUBLICATION], 0)) < 0.46 * len(PUBLICATION)


def test_messages_share_no_window() -> None:
    twice = deflated([PUBLICATION, PUBLICATION], 0)
    assert twice == deflated([PUBLICATION], 0) * 2


def packed(text: bytes, bits: int = 15) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@given(st.binary(max_size=2_000), st.integers(9, 15), st.integers(1, 500))
def test_input_is_inflated_whatever_its_window_and_parts(text: bytes, bits: int, part: int) -> None:
    inflater, data = Inflater(2_000), packed(text, bits)
    for _ in range(2):
        inflater.start()
        assert b"".join(inflater.take(data[at : at + part]) for at in range(0, len(data), part)) + inflater.end() == text


def test_a_bomb_is_refused_before_it_grows() -> None:
    inflater, bomb = Inflater(65_536), packed(bytes(10_000_000))
    assert len(bomb) < 15_000
    inflater.start()
    with pytest.raises(TooLarge):
        inflater.take(bomb)
    with pytest.raises(TooLarge):  # what follows of it is not even looked at
        inflater.take(b"\x00")
    inflater.start()
    assert inflater.take(packed(bytes(65_536))) == bytes(65_536)


def test_a_message_that_leans_on_the_one_before_is_refused() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    first, second = (compressor.compress(PUBLICATION) + compressor.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    inflater = Inflater(65_536)
    inflater.start()
    assert inflater.take(first[:-4]) + inflater.end() == PUBLICATION
    inflater.start()
    with pytest.raises(Malformed):
        inflater.take(second)


def final(text: bytes) -> bytes:
    """As a client packs it that cannot flush: a stream that ends (BFINAL)."""
    compressor = zlib.compressobj(4, zlib.DEFLATED, -12)
    return compressor.compress(text) + compressor.flush(zlib.Z_FINISH)


@pytest.mark.parametrize("data", [b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00"])
def test_the_final_block_of_the_rfc_is_read(data: bytes) -> None:
    inflater = Inflater(65_536)
    for _ in range(2):
        inflater.start()
        assert inflater.take(data) + inflater.end() == b"Hello"


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.integers(1, 500))
def test_what_follows_a_final_block_belongs_to_the_message(texts: list[bytes], part: int) -> None:
    inflater, data = Inflater(2_000), b"".join(map(final, texts)) + b"\0"
    inflater.start()
    read = b"".join(inflater.take(data[at : at + part]) for at in range(0, len(data), part))
    assert read + inflater.end() == b"".join(texts)


@pytest.mark.parametrize(
    ("begin", "block"),
    [
        (b"\x03\x00", b"\x03\x00"),
        (b"\x03\x00", b"\x00\x00\x00\xff\xff"),
        (b"", b"\x00\x00\x00\xff\xff"),
    ],
    ids=["final blocks", "after a final block", "blocks"],
)
def test_a_message_of_nothing_but_empty_blocks_ends(begin: bytes, block: bytes) -> None:
    inflater, sent = Inflater(65_536), 0
    inflater.start()
    inflater.take(begin)
    with pytest.raises(TooLarge):
        while sent < 1_000_000:
            inflater.take(block * 400)
            sent += 400 * len(block)
    assert sent < 3 * 65_536


def test_noise_after_a_final_block_is_refused() -> None:
    inflater = Inflater(65_536)
    inflater.start()
    with pytest.raises(Malformed):
        inflater.take(final(PUBLICATION) + b"\xff" * 2_000)


def test_final_blocks_are_no_way_around_the_limit() -> None:
    inflater = Inflater(2_000)
    inflater.start()
    assert inflater.take(final(bytes(1_500))) == bytes(1_500)
    with pytest.raises(TooLarge):
        inflater.take(final(bytes(400)) + final(bytes(1_000_000)))


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("memory", [1, 9])
def test_what_cannot_be_made_smaller_may_be_as_long_as_any_other(level: int, memory: int) -> None:
    noise = random.Random(1).randbytes(65_536)
    compressor = zlib.compressobj(level, zlib.DEFLATED, -9, memory)
    data = compressor.compress(noise) + compressor.flush(zlib.Z_SYNC_FLUSH)
    inflater = Inflater(len(noise))
    inflater.start()
    assert inflater.take(data[:-4]) + inflater.end() == noise
