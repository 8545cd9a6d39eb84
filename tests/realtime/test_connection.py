"""What waits for one member, with and without a wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.closing import CloseCode
from realtime.connection import USUAL, Connection, Item, Take, joined, text_frame
from realtime.frame import Frame
from realtime.link import Link
from realtime.messages import Pong, Pub, Sender, decode_to_client, encode
from realtime.publication import Entry

AT = datetime(2027, 6, 12, 15, 42, tzinfo=UTC)
GUEST = Sender("m2", "guest", "Maya")


class FakeWire:
    """A socket that takes what `room` allows, and the rest when the test says so."""

    deflate, push = False, None

    def __init__(self, *answers: bool) -> None:
        self.sent = b""
        self.answers = list(answers)
        self.closed: list[int] = []
        self.unread = 0

    def open(self, member: Connection, take: Take) -> None:
        pass

    def send(self, frames: bytes, sent: int = 0) -> bool:
        assert not self.closed and not sent
        self.sent += frames
        return self.answers.pop(0) if self.answers else True

    def link(self, again_s: float | None = None) -> Link | None:
        return None

    def unread_bytes(self) -> int:
        return self.unread

    def rest(self, seconds: float) -> None:
        raise AssertionError("nobody asked for this")

    def close(self, code: int) -> None:
        self.closed.append(code)


class Watching:
    """Notes who fell behind, and the offsets of what came late."""

    def __init__(self) -> None:
        self.behind: list[Connection] = []
        self.offsets: list[list[int]] = []

    def fell_behind(self, connection: Connection) -> None:
        self.behind.append(connection)

    def late(self, connection: Connection, frames: Sequence[Frame]) -> None:
        self.offsets.append([each.entry.offset for each in frames])


def frame(kind: str, text: str = "", *, offset: int = 0, member: str = "m1") -> Frame:
    data = {"chat.guests": {"text": text}, "emergency.alert": {"alert": "a", "category": "fire", "text": text}, "typing": {}}
    sender = Sender(member, "planner", "Pia")
    payload = encode(data.get(kind, {"emoji": text}))
    return Frame(Entry("w", offset, kind, 127, f"{kind}{text}{offset}", sender, AT, payload))


def item(text: bytes) -> Item:
    """A publication that is told apart by its text."""
    return text, frame("chat.guests", "x", offset=1)


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
    connection.write([item(b"1"), item(b"2")])
    connection.write([item(b"3")], text_frame(b"3"))
    assert texts_of(wire.sent) == [b"1", b"2", b"3"] and not connection.behind


def test_behind_it_waits_and_keeps_the_order() -> None:
    wire = FakeWire(False, False, True)
    connection = Connection("w", GUEST, wire)
    for text in (b"1", b"2", b"3"):
        connection.write([item(text)])
    assert texts_of(wire.sent) == [b"1"] and connection.behind
    connection.drained()
    assert texts_of(wire.sent) == [b"1", b"2", b"3"] and connection.behind
    connection.write([item(b"4")])
    connection.drained()
    connection.write([item(b"5")])
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
                connection.write([item(written[-1])])
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
        connection.write([item(b"x" * (USUAL.window_bytes // 2))])
    assert connection.closing is CloseCode.TOO_SLOW and wire.closed == [4008]
    assert connection.n_bytes < 300


def test_the_close_follows_what_waits() -> None:
    wire = FakeWire(False, True)
    connection = Connection("w", GUEST, wire)
    connection.write([item(b"1")])
    connection.write([item(b"2")])
    connection.end(CloseCode.GOING_AWAY, "Restart.")
    connection.write([item(b"never")])
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
    connection.write([item(b"1")])
    assert await connection.texts() == [b"1"]
    connection.end(CloseCode.NORMAL, "Bye.")
    assert len(await connection.texts()) == 1 and await connection.texts() == []


def pubs_of(sent: bytes) -> list[Pub]:
    return [message for text in texts_of(sent) if isinstance(message := decode_to_client(text), Pub)]


def written(*frames: Frame) -> list[Item]:
    return [(each.text(), each) for each in frames]


def test_to_one_that_is_behind_an_emergency_goes_ahead_and_has_its_place_in_the_stream_too() -> None:
    wire = FakeWire(False)
    connection = Connection("w", GUEST, wire)
    for each in (frame("chat.guests", "1", offset=1), frame("chat.guests", "2", offset=2), frame("emergency.alert", offset=3)):
        connection.write(written(each))
    connection.drained()
    assert [(pub.kind, pub.offset, pub.provisional) for pub in pubs_of(wire.sent)] == [
        ("chat.guests", 1, False),
        ("emergency.alert", 0, True),
        ("chat.guests", 2, False),
        ("emergency.alert", 3, False),
    ]
    assert pubs_of(wire.sent)[1].id == pubs_of(wire.sent)[3].id


def test_to_one_that_is_behind_only_the_latest_of_what_is_ephemeral_goes() -> None:
    wire = FakeWire(False)
    connection = Connection("w", GUEST, wire)
    connection.write(written(frame("chat.guests", "1", offset=1)))
    for member in ("ann", "bob", "ann"):
        connection.write(written(frame("typing", member=member)))
    connection.drained()
    assert [(pub.kind, pub.sender.member) for pub in pubs_of(wire.sent)[1:]] == [("typing", "bob"), ("typing", "ann")]


def test_what_the_kernel_takes_late_is_reported_when_it_is_taken() -> None:
    wire, watching = FakeWire(False, False, True), Watching()
    connection, late = Connection("w", GUEST, wire, watching), watching.offsets
    assert not connection.write(written(frame("chat.guests", offset=1)))
    assert not connection.write(written(frame("chat.guests", offset=2))) and late == []
    connection.drained()
    assert late == [[1]]
    connection.drained()
    assert late == [[1], [2]] and connection.write(written(frame("chat.guests", offset=3)))


@pytest.mark.parametrize(
    "say",
    [
        lambda it: it.write([item(b"1")]),
        lambda it: it.tell(Pong()),
        lambda it: it.send([b"x" * 500_000], always=True),
        lambda it: it.blocked(),
        lambda it: it.end(CloseCode.NORMAL, "Bye."),
    ],
    ids=["a publication", "an answer", "what a newcomer is told", "a control frame", "the goodbye"],
)
@pytest.mark.parametrize("wired", [True, False])
def test_whatever_has_to_wait_it_is_said_that_somebody_is_behind(say: Callable[[Connection], None], wired: bool) -> None:
    watching = Watching()
    connection = Connection("w", GUEST, FakeWire(False) if wired else None, watching)
    assert watching.behind == []
    say(connection)
    assert set(watching.behind) == {connection}
