"""The short way in takes what autobahn would take, and leaves it everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.adapters.daphne_server import WireFactory, WireProtocol
from realtime.adapters.frames_in import text_at
from tests.realtime.adapters.test_daphne_server import Server, Silent


def frame(payload: bytes, *, first: int = 0x81, mask: bytes | None = b"\x01\x02\x03\xff") -> bytes:
    """One frame."""
    n, masked = len(payload), 0 if mask is None else 0x80
    size = bytes([masked | n]) if n < 126 else bytes([masked | 126]) + n.to_bytes(2, "big") if n < 65_536 else b""
    head = bytes([first]) + (size or bytes([masked | 127]) + n.to_bytes(8, "big"))
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


@given(st.text(max_size=400), st.binary(min_size=4, max_size=4), st.binary(max_size=9))
def test_a_whole_text_is_read_and_the_next_one_begins_after_it(text: str, mask: bytes, rest: bytes) -> None:
    data = frame(text.encode(), mask=mask)
    assert text_at(b"before" + data + rest, 6) == (text.encode(), 6 + len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frame(b"hello")[:-1],
        frame(b"hello")[:5],
        frame(b"x" * 300)[:7],
        frame(b"part", first=0x01),
        frame(b"rest", first=0x80),
        frame(b"binary", first=0x82),
        frame(b"compressed", first=0xC1),
        frame(b"reserved", first=0x91),
        frame(b"ping", first=0x89),
        frame(b"bye", first=0x88),
        frame(b"bare", mask=None),
        frame(b"x" * 70_000),
        bytes([0x81, 0xFE, 0, 5]) + bytes(4) + b"short",
        frame(b"\xff\xfe"),
        frame("ü".encode()[:1]),
    ],
)
def test_everything_else_is_left_alone(data: bytes) -> None:
    assert text_at(data, 0) is None


class Pair:
    """An open connection whose messages are kept; `short`: the short way in is used."""

    def __init__(self, *, short: bool, limit: int = 0) -> None:
        self.heard: list[bytes | None] = []
        factory = WireFactory(Server())
        factory.setProtocolOptions(maxMessagePayloadSize=limit)
        self.protocol: WireProtocol = factory.buildProtocol(None)
        self.transport = Silent()
        self.protocol.makeConnection(self.transport)
        self.protocol.state, self.protocol.websocket_version = self.protocol.STATE_OPEN, 13
        self.protocol.path, self.protocol.client_addr = b"/", None
        self.protocol.wire = self
        self.take = lambda text, _: self.heard.append(text)
        self.send = self.transport.write
        if not short:
            self.protocol.dataReceived = super(WireProtocol, self.protocol).dataReceived

    def unplug(self) -> None:
        """It is closing."""

    def defers(self, payload: bytes) -> bool:
        """Nothing waits."""
        return False

    def feed(self, parts: list[bytes]) -> tuple[list[bytes | None], bytes, int]:
        for part in parts:
            self.protocol.dataReceived(part)
        return self.heard, self.transport.written, self.protocol.state


FRAMES = st.one_of(
    st.text(max_size=200).map(lambda text: frame(text.encode())),
    st.sampled_from(
        [
            frame(b"x" * 126),
            frame(b"Hel", first=0x01) + frame(b"ping", first=0x89) + frame(b"lo", first=0x80),
            frame(b"", first=0x8A),
            frame(b"a ping", first=0x89),
            frame(b"\x00\x01", first=0x82),
            frame(b"\xff not text"),
            frame(b"stray", first=0x80),
            frame(b"reserved", first=0xA1),
            frame(b"\x03\xe8", first=0x88),
            frame(b"bare", mask=None),
        ]
    ),
)


@given(st.lists(FRAMES, min_size=1, max_size=6), st.lists(st.integers(1, 300), max_size=6))
def test_it_makes_no_difference_to_what_is_heard_and_answered(frames: list[bytes], cuts: list[int]) -> None:
    data, parts = b"".join(frames), []
    for cut in cuts:
        parts.append(data[:cut])
        data = data[cut:]
    parts = [part for part in [*parts, data] if part]
    assert Pair(short=True).feed(parts) == Pair(short=False).feed(parts)


@pytest.mark.parametrize("size", [100, 101])
def test_what_the_server_was_told_not_to_take_is_not_taken_the_short_way_either(size: int) -> None:
    parts = [frame(b"before"), frame(b"x" * size), frame(b"after")]
    took = Pair(short=True, limit=100).feed(parts)
    assert took == Pair(short=False, limit=100).feed(parts)
    assert took[0] == ([b"before", b"x" * 100, b"after"] if size == 100 else [b"before"])
