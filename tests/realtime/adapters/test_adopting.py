"""Which way an accepted socket goes."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import daphne.server  # noqa: F401 - it chooses the reactor
import pytest
from daphne.http_protocol import WebRequest
from twisted.internet import tcp
from twisted.internet.testing import MemoryReactor

from realtime.adapters import adopting
from realtime.adapters.adopting import adopt

REQUEST = b"GET /ws/weddings/rose/?since=7 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"


class Remembering:
    """A factory and the protocol it builds."""

    _raw_query_string: bytes | None = None

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.transport: Any = None
        self.fails = False
        self._channel = SimpleNamespace(passed=False)

    def buildProtocol(self, address: object) -> Remembering:  # noqa: N802 - Twisted's names
        self.address = address
        return self

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.heard.append(data)
        if self.fails:
            raise RuntimeError("as a faulty protocol would")


class Twisted(MemoryReactor):
    def __init__(self) -> None:
        super().__init__()
        self.ended: list[object] = []

    def _disconnectSelectable(self, transport: object, why: object, reading: bool) -> None:  # noqa: N802
        self.ended.append(transport)


@pytest.fixture
def twisted(monkeypatch: pytest.MonkeyPatch) -> Twisted:
    twisted = Twisted()
    monkeypatch.setattr(adopting, "reactor", twisted)
    return twisted


@pytest.fixture
def server(twisted: Twisted) -> Iterator[Any]:
    server = SimpleNamespace(http_factory=Remembering(), ws_factory=Remembering())
    yield server
    for factory in (server.http_factory, server.ws_factory):
        if factory.transport is not None:
            factory.transport.socket.close()


@pytest.fixture
def accepted() -> Iterator[tuple[socket.socket, int]]:
    """(the client, the descriptor of the accepted socket)."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        yield client, listener.accept()[0].detach()


Accepted = tuple[socket.socket, int]


def test_a_whole_request_for_a_websocket_goes_to_its_protocol_at_once(
    server: Any, accepted: Accepted, twisted: Twisted
) -> None:
    client, fd = accepted
    client.sendall(REQUEST)
    adopt(fd, server)
    assert (server.ws_factory.heard, server.ws_factory._raw_query_string) == ([REQUEST], b"since=7")
    assert server.ws_factory.address.port == client.getsockname()[1]
    assert type(server.ws_factory.transport) is tcp.Server and not server.ws_factory.transport.socket.getblocking()
    assert twisted.getReaders() == [server.ws_factory.transport]
    assert server.http_factory.transport is None


@pytest.mark.parametrize("sent", [b"", REQUEST[:40], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"], ids=["nothing", "half", "page"])
def test_everything_else_is_for_http(server: Any, accepted: Accepted, sent: bytes) -> None:
    client, fd = accepted
    client.sendall(sent)
    adopt(fd, server)
    assert server.http_factory.heard == ([sent] if sent else []) and server.http_factory._channel.passed
    assert server.ws_factory.transport is None


def test_one_whose_protocol_fails_is_ended_and_the_others_are_served(server: Any, accepted: Accepted, twisted: Twisted) -> None:
    client, fd = accepted
    client.sendall(REQUEST)
    server.ws_factory.fails = True
    adopt(fd, server)
    assert twisted.ended == [server.ws_factory.transport]


def test_daphne_hands_a_request_over_as_it_is_done_here() -> None:
    source = inspect.getsource(WebRequest.process)
    for line in (
        "protocol = self.server.ws_factory.buildProtocol(",
        "protocol._raw_query_string = self.query_string",
        "protocol.makeConnection(transport)",
        "protocol.dataReceived(data)",
    ):
        assert line in source
