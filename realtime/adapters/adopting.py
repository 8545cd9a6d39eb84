"""A socket that somebody else has accepted becomes a connection of Twisted's.

Most bring the whole request for a WebSocket with them, since the dispatcher has waited for its first line. Twisted's HTTP would
read it, Daphne write it anew and autobahn read it again, 0.2 ms; here autobahn gets it at once. Everything else goes Twisted's
way, from its first byte on.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from twisted.internet import reactor, tcp
from twisted.internet.address import IPv4Address, IPv6Address

from realtime.policy.request_line import upgrade

logger = logging.getLogger(__name__)

REQUEST_BYTES = 8_192
"""Of a request that can be whole: ours have 600 bytes, those with a browser's cookies two thousand."""


def adopt(fd: int, server: Any) -> None:
    """Serve this connected socket, which is Twisted's from now on, with Daphne's `server`. Raises OSError when it is gone."""
    raw = socket.socket(fileno=fd)
    try:
        raw.setblocking(False)
        peer, seen = raw.getpeername(), _waiting(raw)
        address = (IPv6Address if raw.family == socket.AF_INET6 else IPv4Address)("TCP", *peer)
        query = upgrade(seen)
        protocol = (server.http_factory if query is None else server.ws_factory).buildProtocol(address)
        if protocol is None:  # Daphne has written why
            raise OSError("nobody serves it")
        if query is not None:
            protocol._raw_query_string = query
        else:
            protocol._channel.passed = True
        transport = tcp.Server(raw, protocol, peer, None, peer[1], reactor)
        transport.repstr = f"<{type(protocol).__name__} of {peer[0]}:{peer[1]}>"
    except BaseException:
        raw.close()
        raise
    try:
        protocol.makeConnection(transport)
        if seen:
            protocol.dataReceived(seen)
    except Exception as error:
        logger.exception("what %s asked for could not be taken", peer)
        reactor._disconnectSelectable(transport, error, True)


def _waiting(raw: socket.socket) -> bytes:
    """What has arrived. The end of the connection is found when Twisted reads."""
    try:
        return raw.recv(REQUEST_BYTES)
    except BlockingIOError:
        return b""
