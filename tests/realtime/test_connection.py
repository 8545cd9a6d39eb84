"""What waits for one member, with and without a wire."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from realtime.closing import CloseCode
from realtime.connection import OUTBOX_MAX_BYTES, Connection, joined, text_frame
from realtime.messages import Sender

GUEST = Sender("m2", "guest", "Maya")


class FakeWire:
    """A socket that takes what `room` allows, and the rest when the test says so."""

    def __init__(self, *answers: bool) -> None:
        self.sent = b""
        self.answers = list(answers)
        self.closed: list[int] = []

    def open(self, drained: Callable[[], None], take: Callable[[bytes | None], None]) -> None:
        self.drained = drained

    def send(self, frames: bytes) -> bool:
        assert not self.closed
        self.sent += frames
        return self.answers.pop(0) if self.answers else True

    def close(self, code: int) -> None:
        self.closed.append(code)


def texts_of(sent: bytes) -> list[bytes]:
    """The texts of whole frames."""
    found = []
    while sent:
        size, head = sent[1], 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(sent[2:head], "big")
        assert sent[0] == 0x81 and len(sent) >= head + size
        found.append(sent[head : head + size])
        sent = sent[head + size :]
    return found


@given(st.lists(st.binary(max_size=70_000), max_size=4))
def test_joined_texts_are_frames(texts: list[bytes]) -> None:
    assert texts_of(joined(texts)) == texts


def test_with_a_wire_everything_leaves_at_once() -> None:
    wire = FakeWire()
    connection = Connection("w", GUEST, wire)
    connection.write([b"1", b"2"])
    connection.write([b"3"], text_frame(b"3"))
    assert texts_of(wire.sent) == [b"1", b"2", b"3"] and not connection.behind


def test_behind_it_waits_and_keeps_the_order() -> None:
    wire = FakeWire(False, False, True)
    connection = Connection("w", GUEST, wire)
    for text in (b"1", b"2", b"3"):
        connection.write([text])
    assert texts_of(wire.sent) == [b"1"] and connection.behind
    connection.drained()
    assert texts_of(wire.sent) == [b"1", b"2", b"3"] and connection.behind
    connection.write([b"4"])
    connection.drained()
    connection.write([b"5"])
    assert texts_of(wire.sent) == [b"1", b"2", b"3", b"4", b"5"] and not connection.behind


@given(st.lists(st.sampled_from(["write", "drained", "full", "free"]), max_size=40))
def test_whatever_the_socket_does_the_order_is_kept_and_nothing_lost(events: list[str]) -> None:
    wire = FakeWire()
    connection = Connection("w", GUEST, wire)
    written = []
    for n, event in enumerate(events):
        match event:
            case "write":
                written.append(b"%d" % n)
                connection.write([written[-1]])
            case "drained" if connection.behind:
                connection.drained()
            case "full":
                wire.answers = [False]
            case "free":
                wire.answers = []
    wire.answers = []
    while connection.behind:
        connection.drained()
    assert texts_of(wire.sent) == written


def test_one_that_does_not_read_is_closed_and_its_memory_freed() -> None:
    wire = FakeWire(False)
    connection = Connection("w", GUEST, wire)
    for _ in range(5):
        connection.write([b"x" * (OUTBOX_MAX_BYTES // 2)])
    assert connection.closing is CloseCode.TOO_SLOW and wire.closed == [4008]
    assert sum(map(len, connection._texts)) < 300


def test_the_close_follows_what_waits() -> None:
    wire = FakeWire(False, True)
    connection = Connection("w", GUEST, wire)
    connection.write([b"1"])
    connection.write([b"2"])
    connection.end(CloseCode.GOING_AWAY, "Restart.")
    connection.write([b"never"])
    assert wire.closed == []
    connection.drained()
    assert [text[:15] for text in texts_of(wire.sent)] == [b"1", b"2", b'{"t":"goodbye",'] and wire.closed == [4001]


def test_the_first_end_counts() -> None:
    wire = FakeWire()
    connection = Connection("w", GUEST, wire)
    connection.end(CloseCode.NORMAL, "Bye.")
    connection.end(CloseCode.ABUSE, "No.")
    assert wire.closed == [1000] and len(texts_of(wire.sent)) == 1


async def test_without_a_wire_texts_are_awaited() -> None:
    connection = Connection("w", GUEST)
    connection.write([b"1"])
    assert await connection.texts() == [b"1"]
    connection.end(CloseCode.NORMAL, "Bye.")
    assert len(await connection.texts()) == 1 and await connection.texts() == []
