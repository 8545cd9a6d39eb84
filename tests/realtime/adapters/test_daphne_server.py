"""What the wire leans on in Daphne, autobahn and Twisted. A failure here: read their changes before moving the pins."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import socket
import time
import weakref
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import autobahn.twisted.websocket
import autobahn.websocket.protocol
import daphne.http_protocol
import daphne.server
import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol as BaseProtocol
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import abstract, tcp
from twisted.internet.testing import MemoryReactor
from twisted.web.http import HTTPChannel

from realtime.adapters import daphne_server, rounds, socket_wire
from realtime.adapters.daphne_server import WireFactory, WireProtocol, install
from realtime.adapters.resting import Mailslot
from realtime.adapters.socket_wire import AGAIN_MAX_S, FRESH_MS, ROUNDING_US, VOUCHED_S, SocketWire
from realtime.closing import CloseCode
from realtime.compression import DEFLATE_EXTENSION
from realtime.connection import WIRE_EXTENSION, Connection, joined
from realtime.connection_optimizer import ConnectionPlan
from realtime.deflate import Inflater
from realtime.frame import Frame
from realtime.messages import Sender
from realtime.publication import Entry


def test_daphne_makes_its_factory_by_a_name_that_can_be_replaced_until_it_runs() -> None:
    assert "self.ws_factory = WebSocketFactory(" in inspect.getsource(daphne.server.Server.run)
    assert "WebSocketFactory" not in inspect.getsource(daphne.server.Server.__init__)
    before = daphne.server.WebSocketFactory
    modules = (autobahn.twisted.websocket, autobahn.websocket.protocol)
    painters = [(module, name, getattr(module, name)) for module in modules for name in ("hltype", "hlval")]
    try:
        install()
        assert daphne.server.WebSocketFactory is WireFactory
        assert all(getattr(module, name)("word") == "word" for module, name, _ in painters)
    finally:
        daphne.server.WebSocketFactory = before
        for module, name, painter in painters:
            setattr(module, name, painter)
    assert issubclass(WireFactory, WebSocketFactory)


def test_the_protocol_has_the_methods_that_are_overridden() -> None:
    for name in ("onConnect", "onOpen", "onMessage", "onClose", "sendClose"):
        assert callable(getattr(WebSocketProtocol, name))
        assert name == "sendClose" or name in vars(WireProtocol)
    assert "self.server.create_application(" not in inspect.getsource(WebSocketServerProtocol)
    assert "self.server.create_application," in inspect.getsource(WebSocketProtocol.onConnect)
    assert "self.server = self.factory.server_class" in inspect.getsource(WebSocketProtocol.onConnect)


def test_the_http_channel_of_an_upgrade_can_be_let_go_of() -> None:
    channel = HTTPChannel()
    assert channel.requests == [] and callable(channel.setTimeout)
    assert "self._networkProducer.registerProducer(self, True)" in inspect.getsource(HTTPChannel.connectionMade)


def test_twisted_buffers_writes_where_we_look_and_tells_a_pull_producer_when_they_have_left() -> None:
    source = inspect.getsource(abstract.FileDescriptor)
    assert "self._tempDataBuffer.append(data)" in source
    assert "self.dataBuffer" in inspect.getsource(abstract.FileDescriptor.doWrite)
    assert "self.producer.resumeProducing()" in inspect.getsource(abstract.FileDescriptor.doWrite)


class Server:
    """What the protocol needs of Daphne's server."""

    connections: dict[object, dict[str, object]]
    application_close_timeout: float
    application_checker: Callable[[], None]

    def protocol_connected(self, protocol: object) -> None:
        self.connections[protocol] = {}

    def protocol_disconnected(self, protocol: object) -> None:
        self.connections[protocol]["disconnected"] = rounds.time.time()  # noqa: TID251 - Daphne's clock

    async def application(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scope, self.received = scope, await receive()
        await send("reply")

    async def handle_reply(self, protocol: object, message: object) -> None:
        self.replied = protocol, message


async def test_an_application_starts_with_the_wire_and_the_agreement_in_its_scope() -> None:
    source = inspect.getsource(daphne.server.Server.create_application)
    for line in (
        "receive=input_queue.get",
        "partial(self.handle_reply, protocol)",
        '["application_instance"] = asyncio.ensure',
    ):
        assert line in source
    server = Server()
    factory = WireFactory(server)
    protocol = factory.buildProtocol(None)
    protocol.wire, protocol.client_addr, protocol.path = "the wire", None, b"/"
    server.connections = {protocol: {}}
    slot = protocol.factory.server_class.create_application(protocol, {"type": "websocket"})
    slot.put_nowait({"type": "websocket.connect"})
    await asyncio.wait_for(server.connections[protocol]["application_instance"], 5)  # type: ignore[arg-type]
    assert server.scope["extensions"] == {WIRE_EXTENSION: "the wire", DEFLATE_EXTENSION: protocol.agree}
    assert server.received == {"type": "websocket.connect"} and server.replied == (protocol, "reply")


def test_options_are_those_of_the_factory_and_not_of_each_connection() -> None:
    assert "for configAttr in self.CONFIG_ATTRS" in inspect.getsource(BaseProtocol._connectionMade)
    factory = WireFactory(Server())
    factory.setProtocolOptions(maxMessagePayloadSize=77, autoPingTimeout=9)
    protocol = factory.buildProtocol(None)
    assert not vars(protocol).keys() & set(WebSocketServerProtocol.CONFIG_ATTRS)
    assert all(getattr(protocol, name) == getattr(factory, name) for name in WebSocketServerProtocol.CONFIG_ATTRS)
    factory.setProtocolOptions(maxMessagePayloadSize=1_048_576)
    assert protocol.maxMessagePayloadSize == 1_048_576


class Silent:
    """A transport that only remembers what was written, and whether it reads."""

    def __init__(self) -> None:
        self.written = b""
        self.disconnecting, self.producer, self.reading = False, None, True

    def stopReading(self) -> None:  # noqa: N802 - Twisted's names
        self.reading = False

    def startReading(self) -> None:  # noqa: N802
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


ASKING = (
    b"GET /ws/weddings/w/ HTTP/1.1\r\nHost: wed.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: %b\r\n\r\n"
)


class Accepting(Server):
    """Agrees on compression, accepts, and keeps the protocol."""

    root_path, proxy_forwarded_address_header, ping_interval = "", None, 20

    def __init__(self, extensions: str | None) -> None:
        self.extensions = extensions
        self.connections = {}

    def protocol_connected(self, protocol: WireProtocol) -> None:
        self.connections[protocol] = {}

    def log_action(self, *_: object) -> None:
        pass

    async def application(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self.extensions is not None:
            scope["extensions"][DEFLATE_EXTENSION](self.extensions, Inflater(1_000))
        (protocol,) = self.connections
        protocol.serverAccept()  # type: ignore[attr-defined]


async def opened(server: Accepting, offer: bytes = b"x") -> tuple[Any, Silent]:
    """A connection that the server has accepted, which offered these extensions."""
    protocol = WireFactory(server).buildProtocol(None)
    protocol._raw_query_string = b""
    protocol.path, protocol.client_addr = b"/ws/weddings/w/", None
    transport = Silent()
    protocol.makeConnection(transport)
    protocol.dataReceived(ASKING % offer)
    await asyncio.wait_for(server.connections[protocol]["application_instance"], 5)  # type: ignore[arg-type]
    return protocol, transport


@pytest.mark.parametrize("offer", [b"permessage-deflate", b"permessage-deflate; server_max_window_bits=8", b"odd; x; x=1"])
@pytest.mark.parametrize("agreed", ["permessage-deflate; and-so-on", None])
async def test_a_connection_is_opened_with_what_was_agreed_and_keeps_little(offer: bytes, agreed: str | None) -> None:
    server = Accepting(agreed)
    protocol, transport = await opened(server, offer)
    assert protocol.state == protocol.STATE_OPEN and protocol.wire.deflate == (agreed is not None)
    head = transport.written.decode()
    assert head.startswith("HTTP/1.1 101") and ("Sec-WebSocket-Extensions: " in head) == (agreed is not None)
    assert agreed is None or f"Sec-WebSocket-Extensions: {agreed}\r\n" in head
    # A name that is new here was added by a new version: is it needed once the connection is open?
    assert len(vars(protocol)) <= 26, sorted(vars(protocol))
    transport.written = b""
    heard: list[bytes | None] = []
    protocol.wire.open(Member(), lambda text, _: heard.append(text))
    hello = zlib.compress(b"hello", wbits=-15)
    protocol.dataReceived(bytes([0x81, 0x85]) + bytes(4) + b"plain")
    protocol.dataReceived(bytes([0xC1, 0x80 + len(hello)]) + bytes(4) + hello)
    assert heard == ([b"plain", b"hello"] if agreed else [b"plain"])
    if agreed is not None:
        protocol.sendMessage(b"a" * 100)
        assert transport.written == joined([b"a" * 100])
        bomb = zlib.compress(bytes(1_001), wbits=-15)
        protocol.dataReceived(bytes([0xC1, 0x80 + len(bomb)]) + bytes(4) + bomb)
        assert transport.written[-50:].find(CloseCode.TOO_LARGE.to_bytes(2, "big")) > 0 and len(heard) == 2


@pytest.mark.parametrize("ends", ["is in", "is sent away"])
async def test_who_says_much_before_it_is_in_is_read_again_when_that_is_decided(ends: str) -> None:
    server = Accepting(None)
    protocol, transport = await opened(server, b"x")
    kept = Mailslot()
    protocol.application_queue = kept
    for _ in range(100):
        if transport.reading:
            protocol.dataReceived(bytes([0x82, 0xFE]) + (1_000).to_bytes(2, "big") + bytes(4) + bytes(1_000))
    assert not transport.reading and 40 < len(kept._messages) < 66, "64 KiB are enough for what a client may ask"
    if ends == "is in":
        protocol.wire.open(Member(), lambda text, _: None)
    else:
        protocol.sendClose(4013)
    assert transport.reading


def fragment(data: bytes, opcode: int = 0) -> bytes:
    """A part of a message that is not its last one."""
    return bytes([opcode, 0x80 + len(data)]) + bytes(4) + data


@pytest.mark.parametrize("in_one_read", [1, 400])
@pytest.mark.parametrize("compressed", [0, 0x40])
async def test_a_message_in_fragments_is_read_and_one_that_does_not_end_is_ended(compressed: int, in_one_read: int) -> None:
    assert "self.message_data.extend(payload)" in inspect.getsource(BaseProtocol.onMessageFrame)
    server = Accepting("permessage-deflate")
    protocol, transport = await opened(server, b"permessage-deflate")
    heard: list[bytes | None] = []
    protocol.wire.open(Member(), lambda text, _: heard.append(text))
    hello = zlib.compress(b"hello", wbits=-15) if compressed else b"hello"
    for _ in range(2):  # each message for itself
        protocol.dataReceived(fragment(hello[:3], 1 | compressed) + fragment(b"") * 800)
        protocol.dataReceived(bytes([0x80, 0x80 + len(hello[3:])]) + bytes(4) + hello[3:])
    assert heard == [b"hello"] * 2
    transport.written = b""
    protocol.dataReceived(fragment(b"", 1 | compressed))
    sent = 0
    while not transport.written and sent < 5_000:
        protocol.dataReceived(fragment(b"") * in_one_read)
        sent += in_one_read
    assert CloseCode.TOO_LARGE.to_bytes(2, "big") in transport.written and 800 < sent < 1_500
    closed = transport.written
    protocol.dataReceived(fragment(b"") * 5_000)
    assert transport.written == closed and len(heard) == 2 and not protocol.data


class Checked:
    """A connection that counts its checks."""

    def __init__(self) -> None:
        self.checks = 0

    def check_timeouts(self) -> None:
        self.checks += 1


def test_daphnes_checks_go_round_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    for module in (daphne.server, rounds):
        monkeypatch.setattr(module.reactor, "callLater", lambda seconds, call: calls.append(seconds), raising=False)
    source = inspect.getsource(daphne.server.Server.application_checker)
    assert "list(self.connections.items())" in source and "reactor.callLater(1, self.application_checker)" in source
    assert "return hash(id(self))" in inspect.getsource(daphne.ws_protocol.WebSocketProtocol.__hash__)
    server = Server()
    protocols = [Checked() for _ in range(1_000)]
    gone = protocols[7]
    server.connections = {protocol: {} for protocol in protocols}
    server.connections[gone]["disconnected"] = 1.0
    server.application_close_timeout = 10
    WireFactory(server)
    steps = round(rounds.ROUND_S / rounds.STEP_S)
    for _ in range(steps):
        before = sum(protocol.checks for protocol in protocols)
        server.application_checker()
        assert sum(protocol.checks for protocol in protocols) - before <= 1_000 / steps
    assert {protocol.checks for protocol in protocols if protocol is not gone} == {1}
    assert gone not in server.connections and len(server.connections) == 999


def test_who_is_known_to_be_quiet_is_looked_at_when_its_application_ends_or_the_quiet_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (daphne.server, rounds):
        monkeypatch.setattr(module.reactor, "callLater", lambda seconds, call: None, raising=False)
    server = Server()
    quiet, over, ended, gone = (Checked() for _ in range(4))
    now_s = rounds.monotonic()
    for protocol, until_s in ((quiet, now_s + 60), (over, now_s - 1), (ended, now_s + 60), (gone, now_s + 60)):
        protocol.quiet_until_s = until_s  # type: ignore[attr-defined]
    server.connections = {protocol: {} for protocol in (quiet, over, ended, gone)}
    server.connections[gone]["disconnected"] = 1.0
    server.application_close_timeout = 10
    looking = rounds.Rounds(server)
    looking.soon(ended)
    for _ in range(round(rounds.ROUND_S / rounds.STEP_S)):
        looking.step()
    assert over.checks and [protocol.checks for protocol in (quiet, ended, gone)] == [0, 1, 0]
    assert list(server.connections) == [quiet, over, ended]


class Application:
    """One that runs, and knows when it is asked whether it has ended."""

    asked = 0

    def done(self) -> bool:
        self.asked += 1
        return False


def test_daphne_looks_only_at_connections_that_are_over_or_whose_application_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (daphne.server, rounds):
        monkeypatch.setattr(module.reactor, "callLater", lambda seconds, call: None, raising=False)
    server, here, gone = Server(), Checked(), Checked()
    running, closing = Application(), Application()
    server.connections = {here: {"application_instance": running}, gone: {"application_instance": closing}}
    server.connections[gone]["disconnected"] = time.time()  # noqa: TID251 - Daphne's clock
    server.application_close_timeout = 10
    now_s = 0.0
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    looking = rounds.Rounds(server)
    for _ in range(2 * rounds.STEPS):
        now_s += rounds.STEP_S
        looking.step()
    assert here.checks == 2 and not running.asked
    assert closing.asked


class Looked(Checked):
    """Counts also how often it is asked until when it is quiet."""

    def __init__(self, until_s: float) -> None:
        super().__init__()
        self.until_s, self.looks = until_s, 0

    @property
    def quiet_until_s(self) -> float:
        self.looks += 1
        return self.until_s


def test_who_is_quiet_is_left_alone_until_that_is_over_or_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s = 1_000.0
    monkeypatch.setattr(rounds.time, "time", lambda: now_s)
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server, quiet, leaving = Server(), Looked(now_s + 30), Looked(now_s + 30)
    server.connections = {protocol: {} for protocol in (quiet, leaving, *(Checked() for _ in range(98)))}
    server.application_close_timeout = 10
    WireFactory(server)

    def round_of_all() -> None:
        nonlocal now_s
        for _ in range(round(rounds.ROUND_S / rounds.STEP_S)):
            server.application_checker()
            now_s += rounds.STEP_S

    for _ in range(3):
        round_of_all()
    assert (quiet.looks, leaving.looks) == (1, 1)
    server.protocol_disconnected(leaving)
    now_s += server.application_close_timeout
    round_of_all()
    assert leaving not in server.connections and quiet.looks == 1 and not quiet.checks
    for _ in range(3):
        round_of_all()
    assert quiet.checks


def test_who_comes_has_a_turn_in_each_round_and_who_is_gone_is_kept_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for protocol_of in (daphne.http_protocol.WebRequest, WebSocketProtocol):
        assert "self.server.protocol_connected(self)" in inspect.getsource(protocol_of)
    source = inspect.getsource(daphne.server.Server)
    assert source.count("self.connections[protocol] = ") == 1, "nobody comes in another way"
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s = 1_000.0
    monkeypatch.setattr(rounds.time, "time", lambda: now_s)
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    WireFactory(server)
    usual, quiet = Checked(), Looked(now_s + 30)
    for number in range(1, 6):
        if number == 2:
            server.protocol_connected(usual), server.protocol_connected(quiet)
        for _ in range(rounds.STEPS):
            server.application_checker()
        assert usual.checks == max(0, number - 1)
    kept = weakref.ref(quiet)
    server.protocol_disconnected(quiet)
    del server.connections[quiet], quiet
    for _ in range(rounds.STEPS):
        server.application_checker()
    gc.collect()
    assert kept() is None


def test_a_clock_that_was_set_and_a_loop_that_is_late_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s, away_s = 1_000.0, 0.0
    monkeypatch.setattr(rounds.time, "time", lambda: 1e9 + now_s + away_s)
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    WireFactory(server)
    phones = [Looked(now_s) for _ in range(100)]
    for phone in phones:
        server.protocol_connected(phone)

    def go_on(seconds: float, step_s: float) -> None:
        nonlocal now_s
        for _ in range(round(seconds / step_s)):
            now_s += step_s
            server.application_checker()

    for away_s in (-86_400.0, 0.0, 86_400.0):  # noqa: B007 - the clock reads it
        before = sum(phone.checks for phone in phones)
        go_on(60, rounds.STEP_S)
        assert 11 * 100 <= sum(phone.checks for phone in phones) - before <= 13 * 100 and all(phone.checks for phone in phones)
    before = sum(phone.checks for phone in phones)
    go_on(60, 5 * rounds.STEP_S)
    assert 11 * 100 <= sum(phone.checks for phone in phones) - before <= 13 * 100


def test_a_check_that_fails_ends_no_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[float] = []
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: calls.append(seconds), raising=False)
    server, ill, well = Server(), Checked(), [Checked() for _ in range(9)]
    monkeypatch.setattr(ill, "check_timeouts", lambda: 1 / 0)
    server.connections, server.application_close_timeout = {protocol: {} for protocol in (ill, *well)}, 10
    WireFactory(server)
    for _ in range(2 * rounds.STEPS):
        server.application_checker()
    assert {protocol.checks for protocol in well} == {2} and calls.count(rounds.STEP_S) == 2 * rounds.STEPS
    assert caplog.text.count("ZeroDivisionError: ") == 2


def test_who_is_gone_without_an_application_is_forgotten_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    WireFactory(server)
    sent_away = Checked()
    server.protocol_connected(sent_away)
    server.protocol_disconnected(sent_away)
    server.application_checker()
    assert not server.connections


class Member:
    """What a wire tells the connection that it is for."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.told.append(name)


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


def test_who_is_to_be_looked_at_has_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s = 1_000.0
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    factory = WireFactory(server)
    quiet = Looked(now_s + 120)
    server.protocol_connected(quiet)
    for _ in range(rounds.STEPS + 2):
        now_s += rounds.STEP_S
        server.application_checker()
    assert not quiet.checks
    quiet.until_s = 0.0
    factory.rounds.look(quiet)
    now_s += rounds.STEP_S
    server.application_checker()
    assert quiet.checks == 1
    server.protocol_disconnected(quiet)
    del server.connections[quiet]
    factory.rounds.look(quiet)
    server.application_checker()
    assert quiet.checks == 1


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


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        ("no mask", b"\x81\x02hi"),
        ("unknown opcode", b"\x85\x80" + bytes(4)),
        ("continuation of nothing", b"\x80\x80" + bytes(4)),
        ("compressed without an agreement", b"\xc1\x81" + bytes(4) + b"x"),
        ("a long ping", b"\x89\xfe\x00\xc8" + bytes(204)),
        ("noise", b"\xff" * 400),
    ],
)
async def test_broken_frames_are_told_why_they_end_the_connection(name: str, noise: bytes) -> None:
    server = Accepting(None)
    protocol, transport = await opened(server, b"x")
    transport.written = b""
    for _ in range(3):
        protocol.dataReceived(noise)
    assert transport.written.count(CloseCode.MALFORMED.to_bytes(2, "big")) == 1 and transport.written[0] == 0x88
    assert protocol.data == b"", "what comes after it is not kept"


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
