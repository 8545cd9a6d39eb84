"""What the wire leans on in Daphne, autobahn and Twisted. A failure here: read their changes before moving the pins."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable

import daphne.server
import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet import abstract, tcp
from twisted.internet.testing import MemoryReactor
from twisted.web.http import HTTPChannel

from realtime.adapters import rounds
from realtime.adapters.daphne_server import SocketWire, WireFactory, WireProtocol, install
from realtime.connection import WIRE_EXTENSION


def test_daphne_makes_its_factory_by_a_name_that_can_be_replaced_until_it_runs() -> None:
    assert "self.ws_factory = WebSocketFactory(" in inspect.getsource(daphne.server.Server.run)
    assert "WebSocketFactory" not in inspect.getsource(daphne.server.Server.__init__)
    before = daphne.server.WebSocketFactory
    try:
        install()
        assert daphne.server.WebSocketFactory is WireFactory
    finally:
        daphne.server.WebSocketFactory = before
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

    def create_application(self, protocol: object, scope: dict[str, object]) -> object:
        return scope


def test_the_wire_is_in_the_scope() -> None:
    factory = WireFactory(Server())
    protocol = factory.buildProtocol(None)
    protocol.wire = "the wire"
    scope = protocol.factory.server_class.create_application(protocol, {})
    assert scope["extensions"][WIRE_EXTENSION] == "the wire"


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
    drained: list[bool] = []
    wire.open(lambda: drained.append(True), lambda _: None)
    sent = b""
    for n in range(10_000):
        frames = b"%05d" % n * 200
        sent += frames
        if not wire.send(frames):
            break
    assert transport._tempDataBuffer and transport.producer is wire and not drained
    received = b""
    theirs.setblocking(False)
    while len(received) < len(sent):
        received += theirs.recv(1 << 20)
        if not drained:
            transport.doWrite()
    assert received == sent and drained == [True] and transport.producer is None
    assert wire.send(b"more") and theirs.recv(10) == b"more"
    transport.socket.close()
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
