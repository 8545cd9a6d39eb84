"""From a finished frame to the socket: in order, past Twisted while nothing waits; what the kernel says of the other end."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import tcp
from twisted.internet.testing import MemoryReactor

from realtime.adapters import daphne_server, rounds, socket_wire
from realtime.adapters.daphne_server import WireFactory
from realtime.adapters.socket_wire import AGAIN_MAX_S, FRESH_MS, ROUNDING_US, VOUCHED_S, SocketWire
from realtime.connection import Connection, joined
from realtime.connection_optimizer import ConnectionPlan
from realtime.frame import Frame
from realtime.messages import Sender
from realtime.publication import Entry
from tests.realtime.adapters.test_daphne_server import Accepting, Member, Server, opened


class OpenProtocol:
    STATE_OPEN = state = 3

    def __init__(self, transport: tcp.Server) -> None:
        self.transport = transport


def pair() -> tuple[tcp.Server, socket.socket]:
    """A real Twisted transport on a real socket, and the other end."""
    ours, theirs = socket.socketpair()
    reactor = MemoryReactor()
    transport = tcp.Server(ours, object(), ("127.0.0.1", 1), None, 1, reactor)
    return transport, theirs


def test_a_full_socket_keeps_the_order_and_says_when_it_has_drained() -> None:
    transport, theirs = pair()
    wire = SocketWire(OpenProtocol(transport))  # type: ignore[arg-type]
    member = Member()
    wire.open(member, lambda _: None)
    sent = b""
    for n in range(10_000):
        frames = b"%05d" % n * 200
        sent += frames
        if not wire.send(frames):
            break
    assert transport._tempDataBuffer and transport.producer is wire and member.told == ["blocked"] and wire.push is None
    received = b""
    theirs.setblocking(False)
    while len(received) < len(sent):
        received += theirs.recv(1 << 20)
        if "drained" not in member.told:
            transport.doWrite()
    assert received == sent and member.told == ["blocked", "drained"] and transport.producer is None
    assert wire.push == transport.socket.send
    assert wire.send(b"more") and theirs.recv(10) == b"more"
    transport.socket.close()
    theirs.close()


@pytest.mark.parametrize(
    ("heartbeat_s", "silent_s", "asked"),
    [(2.0, 19, False), (2.0, 21, True), (25.0, 19, False), (25.0, 21, True), (62.5, 49, False), (62.5, 51, True)],
)
async def test_who_may_be_silent_longer_is_asked_later(heartbeat_s: float, silent_s: float, asked: bool) -> None:
    server = Accepting(None)
    server.websocket_timeout = 86_400  # type: ignore[attr-defined]
    protocol, transport = await opened(server, b"odd")
    member = Member()
    member.plan = ConnectionPlan(heartbeat_s)  # type: ignore[attr-defined]
    protocol.wire.open(member, lambda text, _: None)
    before, protocol.last_ping = transport.written, time.time() - silent_s  # noqa: TID251 - Daphne's clock
    protocol.check_timeouts()
    assert (transport.written[len(before) :][:1] == b"\x89") == asked
    now_s = time.time()  # noqa: TID251 - Daphne's clock
    assert (protocol.last_ping > now_s - 1) == asked
    # Never said to be quiet for longer than Daphne's interval: what it was told of heartbeats may change.
    now_s = rounds.monotonic()
    assert asked or now_s < protocol.quiet_until_s <= now_s + server.ping_interval  # type: ignore[attr-defined]


class Fresh:
    """What the kernel says of a connection: how long ago something was sent, what is not acknowledged, not sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent_ago_ms, self.unacked, self.unsent = 900, 0, 0
        monkeypatch.setattr(SocketWire, "_info", lambda _: self.info)
        monkeypatch.setattr(SocketWire, "_unacked_bytes", lambda _: 0)

    @property
    def info(self) -> tuple[int, ...]:
        return self.unacked, self.sent_ago_ms, 90_000, 9, 0, self.unsent, 70_000, 20


@pytest.fixture
async def vouched(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Fresh, Callable[[float], bytes]]:
    """Of one that is there: (protocol, what the kernel says, what it is sent in so many seconds of Daphne's rounds)."""
    kernel, wall_s, steady_s = Fresh(monkeypatch), 1e9, 1_000.0
    monkeypatch.setattr(rounds.time, "time", lambda: wall_s)
    for module in (rounds, daphne_server, socket_wire):
        monkeypatch.setattr(module, "monotonic", lambda: steady_s)
    server = Accepting(None)
    server.websocket_timeout, server.application_close_timeout = 86_400, 10  # type: ignore[attr-defined]
    protocol, transport = await opened(server, b"odd")
    monkeypatch.setattr(rounds.reactor, "callLater", lambda *_: None, raising=False)
    assert "quiet_until_s" in vars(protocol)

    def go_on(seconds: float) -> bytes:
        nonlocal wall_s, steady_s
        before = len(transport.written)
        for _ in range(round(seconds / rounds.STEP_S)):
            wall_s, steady_s = wall_s + rounds.STEP_S, steady_s + rounds.STEP_S
            protocol.factory.rounds.step()
        return bytes(transport.written[before:])

    return protocol, kernel, go_on


async def test_who_is_asked_about_regularly_and_is_there_needs_no_look_of_daphnes(
    vouched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, kernel, go_on = vouched
    go_on(25)
    protocol.wire.link(20.0)
    go_on(25)  # it is known by now
    looks: list[float] = []
    monkeypatch.setattr(SocketWire, "heard", lambda _, seconds: looks.append(seconds))
    for _ in range(30):
        protocol.wire.link(20.0)
        protocol.wire.link()  # who only asks once promises nothing, and ends nothing
        assert go_on(20) == b""
    assert not looks and kernel.sent_ago_ms == 900


@pytest.mark.parametrize("change", [{"sent_ago_ms": FRESH_MS + 1}, {"unacked": 1}, {"unsent": 1}])
async def test_who_is_perhaps_not_there_any_more_is_pinged_as_early_as_without_that(vouched: Any, change: Any) -> None:
    protocol, kernel, go_on = vouched
    for _ in range(5):
        protocol.wire.link(10.0)
        assert go_on(10) == b""
    vars(kernel).update(change)
    protocol.wire.link(10.0)
    vars(kernel).update(unacked=1)
    assert go_on(9) == b"" and b"\x89" in go_on(1 + rounds.ROUND_S), "20 seconds after it was there, and a round"
    protocol.wire.link(10.0)
    assert go_on(10) == b"", "once"


@pytest.mark.parametrize("again_s", [None, AGAIN_MAX_S + 1])
async def test_nobody_is_vouched_for_who_is_asked_about_rarely_or_not_again(vouched: Any, again_s: float | None) -> None:
    protocol, kernel, go_on = vouched
    protocol.wire.link(again_s)
    assert go_on(1) == b""
    kernel.sent_ago_ms = 60_000
    assert b"\x89" in go_on(25)


async def test_a_planner_that_has_stopped_is_vouching_for_nobody_after_a_while(vouched: Any) -> None:
    protocol, kernel, go_on = vouched
    protocol.wire.link(20.0)
    kernel.sent_ago_ms = 60_000
    assert b"\x89" in go_on(VOUCHED_S + 25)


async def test_who_is_vouched_for_is_closed_when_daphne_says_so(vouched: Any) -> None:
    protocol, _, go_on = vouched
    protocol.server.websocket_timeout = 50
    closing = b""
    for _ in range(8):
        protocol.wire.link(10.0)
        closing += go_on(10)
    assert closing[:1] == b"\x88"


def test_the_kernel_says_how_the_other_end_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = tcp.Server(ours, object(), ("127.0.0.1", 1), None, 1, MemoryReactor())
    wire = SocketWire(OpenProtocol(transport))  # type: ignore[arg-type]
    transport.connected = True
    for _ in range(20):
        ours.send(b"x" * 100)
        theirs.send(b"and back")  # acknowledges
        assert ours.recv(100) == b"and back"
    unacked, sent_ago_ms, rtt_us, jitter_us, lost, unsent, shortest_us, sent = wire._info() or ()
    assert unacked == unsent == 0 and sent_ago_ms < 1_000 and 0 < shortest_us <= rtt_us < 1_000_000 and (lost, sent) == (0, 20)
    assert wire._unacked_bytes() == 0 and wire.heard(60) and not wire.heard(0)
    # On loopback the deviation is as large as the round trip.
    link = wire.link()
    assert (link is None) == (2 * jitter_us + ROUNDING_US >= rtt_us) and (link is None or link.sent_total == 20)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(b"x" * 65_536)
    assert wire._unacked_bytes() > 50_000 and not wire.heard(60)
    unacked, unsent = (wire._info() or ())[0::5]
    assert unacked and unsent
    for info, waiting in (((1, 9, 90_000, 9, 0, 0, 70_000, 20), True), ((0, 9, 90_000, 9, 0, 0, 70_000, 20), False)):
        monkeypatch.setattr(SocketWire, "_info", lambda _, info=info: info)
        link = wire.link()
        assert link is not None and (link.unacked_bytes > 50_000) == waiting
    ours.close()
    theirs.close()


def test_after_the_close_nothing_is_sent() -> None:
    transport, theirs = pair()
    protocol = OpenProtocol(transport)
    wire = SocketWire(protocol)  # type: ignore[arg-type]
    protocol.state = 2
    assert wire.send(b"late")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(10)
    transport.socket.close()
    theirs.close()


class Site:
    """A connection over a real socket whose other end reads when the test says so. Only what is between is ours."""

    def __init__(self) -> None:
        self.transport, self.theirs = pair()
        self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        self.theirs.setblocking(False)
        self.protocol = WireFactory(Server()).buildProtocol(None)
        self.protocol.transport = self.transport
        self.protocol.state, self.protocol.send_queue = self.protocol.STATE_OPEN, []
        self.wire = self.protocol.wire = SocketWire(self.protocol)
        self.member = Connection("w", Sender("m1", "guest"), self.wire)
        self.member.open(lambda _, __: None)
        self.read, self.expected, self.controls = b"", b"", 0

    def say(self, size: int, n: int) -> None:
        """As a room does it (`HeldRoom._write`)."""
        text = b"%06d" % n + b"x" * size
        frames = joined([text])
        self.expected += frames
        entry = Entry("w", n + 1, "chat.guests", 127, str(n), Sender("m2", "planner"), datetime(2027, 6, 12, tzinfo=UTC), b"{}")
        try:
            sent = self.member.push(frames)
        except OSError:
            sent = 0
        if sent != len(frames):
            self.member.write([(text, Frame(entry))], frames, sent)

    def control(self) -> None:
        self.controls += 1
        self.protocol.sendPing(b"%04d" % self.controls)

    def take(self, size: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self.read += self.theirs.recv(size)
        if self.transport.dataBuffer or self.transport._tempDataBuffer:
            self.transport.doWrite()

    def close(self) -> None:
        self.transport.socket.close()
        self.theirs.close()


EVENTS = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 9_000)),
    st.tuples(st.just("control"), st.just(0)),
    st.tuples(st.just("take"), st.integers(1, 60_000)),
)


@given(st.lists(EVENTS, max_size=60))
def test_the_short_way_and_the_long_way_make_one_stream(events: list[tuple[str, int]]) -> None:
    site = Site()
    for n, (event, size) in enumerate(events):
        match event:
            case "say":
                site.say(size, n)
            case "control":
                site.control()
            case "take":
                site.take(size)
    for _ in range(2_000):
        site.take(1 << 20)
        if not site.member.behind and len(site.read) == len(site.expected) + 6 * site.controls:
            break
    stream, controls, texts = site.read, 0, b""
    while stream:
        size, head = (stream[1], 2) if stream[1] < 126 else (int.from_bytes(stream[2:4], "big"), 4)
        if stream[0] == 0x89:
            controls += 1
            assert stream[head : head + size] == b"%04d" % controls
        else:
            texts += stream[: head + size]
        stream = stream[head + size :]
    assert texts == site.expected and controls == site.controls
    assert site.member.push == site.transport.socket.send
    site.protocol.sendClose(1000)
    assert site.wire.push is None and site.member.push(b"late") == 0
    site.close()


@given(st.lists(st.sampled_from(["ping", "say", "take"]), max_size=40))
def test_of_the_pings_that_come_while_something_waits_the_latest_is_answered(events: list[str]) -> None:
    site, asked, answered = Site(), 0, list[int]()
    site.say(300_000, 0)
    assert site.member.behind
    for n, event in enumerate(["ping"] * 1_000 + events, start=1):
        match event:
            case "ping":
                asked = n
                site.protocol.onPing(b"%06d" % n)
            case "say":
                site.say(100, n)
            case "take":
                site.take(40_000)
        waiting = len(site.transport.dataBuffer) + site.transport._tempDataLen + site.member.n_bytes
        assert waiting < 300_000 + 20 * len(events) + 106 * len(events)
    for _ in range(2_000):
        site.take(1 << 20)
    stream, texts = site.read, b""
    while stream:
        size, head = stream[1], 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(stream[2:head], "big")
        if stream[0] == 0x8A:
            answered.append(int(stream[head : head + size]))
        else:
            texts += stream[: head + size]
        stream = stream[head + size :]
    assert texts == site.expected and answered == sorted(set(answered)) and answered[-1] == asked
    assert len(answered) <= 1 + len(events) and not site.member.behind
    site.close()


def test_what_the_other_end_has_not_read_is_known() -> None:
    site = Site()
    assert site.wire.unread_bytes() == 0
    site.say(300_000, 0)
    full = site.wire.unread_bytes()
    assert full >= 300_000 and site.wire.unread_bytes() == full
    site.take(60_000)
    assert site.wire.unread_bytes() < full
    site.transport.connected = 0
    assert site.wire.unread_bytes() == 0
    site.close()
