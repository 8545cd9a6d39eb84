"""Everything that leans on Daphne, autobahn and Twisted: the way from the hub to the socket.

Daphne's own way of a text to a client is a coroutine, autobahn's encoding and Twisted's buffer, emptied in the next turn
of the loop with two `epoll_ctl` calls: about 24 us. `SocketWire.send` hands finished frames to the kernel at once: 4 us, shared
by all publications that were joined into one buffer. When a new version changes what this leans on, `test_daphne_server.py`,
`test_rounds.py` or `test_socket_wire.py` fails.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import autobahn.twisted.websocket
import autobahn.websocket.protocol
import daphne.server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet import reactor, tcp

from realtime.adapters.arrivals import Arrivals, stamped
from realtime.adapters.deflate import Inflating
from realtime.adapters.frames_in import text_at
from realtime.adapters.prompt import PromptFactory
from realtime.adapters.reactor import read_directly, use_uvloop
from realtime.adapters.resting import Asked, Mailslot, Resting, rested
from realtime.adapters.rounds import Rounds, monotonic, nothing
from realtime.adapters.socket_wire import SocketWire
from realtime.clock import SystemClock
from realtime.closing import CloseCode
from realtime.compression import DEFLATE_EXTENSION
from realtime.connection import WIRE_EXTENSION
from realtime.deflate import Inflater

logger = logging.getLogger(__name__)

READ_BYTES = 2_048
"""Of one socket in one turn of the loop: about a dozen messages, half a millisecond, before everybody else has their turn.
Who says more than that at once waits for the next turn; with 8 KiB ten such guests made each turn 20 ms long."""
SEND_BUFFER_BYTES = 65_536
"""Of the kernel, for one socket (which doubles it, socket(7)): what a phone 200 ms away takes in a round trip at 5 Mbit/s.
Left to itself it grows to megabytes that nobody reads, and a member that is behind is noticed so much later."""
BACKLOG = 4_096
"""Connections that wait to be accepted: a storm of a worker's people. Twisted's 50 overflow with a room of guests, whose phones
then try again after one, two, four seconds (`nstat TcpExtListenOverflows`)."""
PIECES_MAX = 1_000
"""Of one message, in fragments: far more than any client makes, and one without a byte counts against no size."""
# A phone that is out of reach answers no keep-alive probes: the kernel finds out within 20 + 3 x 5 s, without a walk of ours.
KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVE_PROBES = 20, 5, 3


def when_running(start: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
    """Run `start` on Daphne's asyncio loop once the reactor runs. The loop keeps the task alive; errors reach its handler.

    SIGTERM calls `stop`: Daphne would drop every socket without a word."""
    tasks: list[Any] = []

    def running() -> None:
        for port in reactor.getReaders():
            if isinstance(port, tcp.Port):
                port.socket.listen(BACKLOG)  # again, with more room (listen(2))
        tasks.append(reactor._asyncioEventloop.create_task(start()))
        reactor.callLater(0, signal.signal, signal.SIGTERM, lambda *_: reactor.callFromThread(stop))  # after Twisted's own

    reactor.callWhenRunning(running)


def end() -> None:
    """End the loop of this process."""
    if reactor.running:
        reactor.stop()


def install() -> None:
    """Let Daphne build our protocol. Its server makes the factory after it has imported the application, so this is in time."""
    daphne.server.WebSocketFactory = WireFactory
    daphne.server.HTTPFactory = PromptFactory
    use_uvloop()
    # Autobahn paints what it says to its debug log, whether or not anybody listens: 8 % of a handshake, three words a message.
    for module in (autobahn.twisted.websocket, autobahn.websocket.protocol):
        module.hltype = module.hlval = _unpainted


def _thrown_away(data: bytes) -> None:
    pass


def _unpainted(word: object) -> object:
    return word


STAYS = {"_state", "client_addr", "factory", "last_ping", "path", "server", "socket_opened"}
"""What Daphne may still ask of a connection that is over, until its application has ended."""


class WireProtocol(Resting, WebSocketProtocol):  # type: ignore[misc]  # Daphne has no types
    """Daphne's protocol with a wire and the agreement on compression in its scope."""

    __hash__, __eq__ = object.__hash__, object.__eq__  # as Daphne's, which are written in Python: ten calls a check
    CONFIG_ATTRS = ()  # the factory gives them to the class, once
    wire: SocketWire | None = None
    http: Any = None
    request: Any
    extensions: str | None = None
    """What the answer to the handshake says of compression."""
    arrivals = Arrivals(SystemClock())
    """One for all: the loop reads one socket at a time."""
    _state: int = WebSocketProtocol.STATE_CLOSED
    text_max: float = math.inf
    """Bytes of a text; what is longer autobahn refuses."""
    quiet_until_s = 0.0
    """Until then `check_timeouts` would find nothing to do (monotonic)."""

    @property
    def state(self) -> int:
        """Autobahn's, which changes it in many places; when it is no longer open the wire hears of it."""
        return self._state

    @state.setter
    def state(self, state: int) -> None:
        self._state = state
        if state != self.STATE_OPEN and self.wire is not None:
            self.wire.unplug()

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        """Control frames go the way of all others, so that the wire knows what waits."""
        if self.wire is not None and self._state == self.STATE_OPEN:
            self.wire.send(data)
        elif self.wire is not None and data.startswith(b"HTTP/1.1 101 "):
            self.wire.answer(data)
        else:
            super().sendData(data, sync, chopsize)

    def onPing(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        if self.wire is None or not self.wire.defers(payload):
            super().onPing(payload)

    def onConnect(self, request: Any) -> Any:  # noqa: N802 - autobahn's name
        self.wire = SocketWire(self)
        self.http = self.transport.producer  # the channel of the request that asked for the upgrade, where one has read it
        if type(self.transport) is tcp.Server:
            _keep_alive(self.transport.socket)
        return super().onConnect(request)

    def agree(self, extensions: str, inflater: Inflater) -> None:
        """Before the connection is accepted: answer the client's offer with `extensions` (`realtime.compression.Agree`)."""
        self.extensions = extensions
        self._perMessageCompress = Inflating(inflater)

    def succeedHandshake(self, res: Any) -> None:  # noqa: N802
        # Autobahn would refuse the handshake for an offer that it cannot read; by the RFC such an offer is only declined.
        self.websocket_extensions: list[Any] = []
        answer = {"Sec-WebSocket-Extensions": self.extensions} if self.extensions is not None else {}
        super().succeedHandshake((res, answer))

    def sendMessage(self, payload: bytes, isBinary: bool = False, **kwargs: Any) -> None:  # noqa: N802, N803
        """What does not take the wire is not for many: it goes as it is."""
        super().sendMessage(payload, isBinary, **kwargs | {"doNotCompress": True})

    def onOpen(self) -> None:  # noqa: N802
        super().onOpen()
        # The HTTP channel that the upgrade came through is still the transport's producer.
        self.transport.unregisterProducer()
        self._let_go_of_http()
        # Sockets that were opened together must not be pinged together: 4,000 pings in one turn are a stall of 180 ms.
        self.last_ping = time.time() - random.random() * self.server.ping_interval  # noqa: TID251 - Daphne's clock
        self.quiet_until_s = monotonic()  # of its own, before its attributes are packed
        if type(self.transport) is tcp.Server:
            self.transport.bufferSize = READ_BYTES
            stamped(self.transport.socket)
            read_directly(self.transport, self.arrivals)
        # The application has read the headers; its scopes, each a copy of the one before, share this list of them.
        self.clean_headers.clear()
        self.request = Asked(self.request.path)
        self.__dict__ = rested(type(self), self.__dict__)

    def check_timeouts(self) -> None:
        """Daphne's, without its ping for one that has shown that it is there."""
        if self.state == self.STATE_OPEN and self.wire is not None:
            now_s, server, steady_s = time.time(), self.server, monotonic()  # noqa: TID251 - Daphne's clock
            left_s = self.socket_opened + server.websocket_timeout - now_s
            if left_s >= 0 and (vouched_s := self.wire.vouched_until_s - steady_s) > 0:
                self.quiet_until_s = steady_s + min(vouched_s, left_s)
                return
            quiet_s = self.wire.quiet_s(server.ping_interval)
            if now_s - self.last_ping > quiet_s and self.wire.heard(quiet_s):
                self.last_ping = now_s
            if left_s >= 0 and now_s - self.last_ping <= quiet_s:
                # What it was told of heartbeats may change meanwhile, but never to less than Daphne's own interval.
                self.quiet_until_s = steady_s + min(self.last_ping + quiet_s - now_s, server.ping_interval, left_s)
                return
        super().check_timeouts()

    def look(self, there_s: float) -> None:
        """Nobody vouches any more for what was there so long ago: `check_timeouts` has its turn soon."""
        self.last_ping = max(self.last_ping, time.time() - there_s)  # noqa: TID251 - Daphne's clock
        self.quiet_until_s = 0.0
        self.factory.rounds.look(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """What the kernel had. Whole texts go straight to their reader; everything else is autobahn's."""
        wire, at = self.wire, 0
        if not self.data and self.current_frame is None and not self.inside_message:
            # A thousand times a second, once for each: what can be asked without a call is.
            while wire is not None and wire.take is not None and self._state == self.STATE_OPEN and not self.muted:
                found = text_at(data, at)
                if found is None or len(found[0]) > self.text_max:
                    break
                text, at = found
                # It has said something: nobody need ask, nor wait for the answer to what was asked.
                self.last_ping = time.time()  # noqa: TID251 - Daphne's clock
                if self.autoPingTimeoutCall is not None:
                    self._cancelAutoPingTimeoutCall()
                wire.take(text, self.arrivals.current_s)
                if at == len(data):
                    return
        super().dataReceived(data[at:])

    def onMessageFrameBegin(self, length: int) -> None:  # noqa: N802
        super().onMessageFrameBegin(length)
        if len(self.message_data) > PIECES_MAX:
            self._refuse(CloseCode.TOO_LARGE, "One message was in too many pieces.")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
        wire = self.wire
        if wire is None or wire.take is None or self.muted:
            super().onMessage(payload, isBinary)
            if wire is not None and not self.muted:
                wire.early(len(payload))
            return
        self.last_ping = time.time()  # noqa: TID251 - Daphne's clock
        wire.take(None if isBinary else payload, self.arrivals.current_s)

    def _max_message_size_exceeded(self, size: int, limit: int, reason: str) -> None:
        """A message too large for any role, as it came or inflated. Autobahn would hang up without a word."""
        self._refuse(CloseCode.TOO_LARGE, "One message was above the limit.")

    def _invalid_payload(self, reason: str) -> bool:
        """Neither text nor, where it says so, compressed by itself. True: nothing more of it is read."""
        self._refuse(CloseCode.MALFORMED, "One message could not be read.")
        return True

    def _protocol_violation(self, reason: str) -> bool:
        """Frames that are none: without a mask, of an unknown sort, compressed where nobody agreed on it, or noise."""
        self._refuse(CloseCode.MALFORMED, "What came was not WebSocket.")
        return True

    def _refuse(self, code: CloseCode, reason: str) -> None:
        # What still comes until the connection is down is read, so that the close arrives, and thrown away.
        self.data, self.dataReceived = b"", _thrown_away  # type: ignore[method-assign]
        logger.warning("%s %s is closed with %s: %s", self.path.decode("latin-1"), self.client_addr, code.name, reason)
        self.failedByMe = True
        self.sendClose(int(code), reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N802, N803
        super().onClose(wasClean, code, reason)
        if self.wire is not None:
            self.wire.forget()
            self.wire = None

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        """Break the circles this connection is part of: collections of old objects are rare here, and stop everybody."""
        super().connectionLost(reason)
        self._let_go_of_http()
        for name in self.__dict__.keys() - STAYS:
            delattr(self, name)

    def _let_go_of_http(self) -> None:
        channel, self.http = self.http, None
        if channel is None:
            return
        channel.setTimeout(None)
        for request in channel.requests:
            request.channel = request.transport = None
        channel.requests = []
        channel.transport = channel._networkProducer = None


def _keep_alive(raw: socket.socket) -> None:
    """Before the handshake is answered: TCP_NODELAY would send the answer off alone."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def create_application(server: Any, rounds: Rounds, protocol: Any, scope: dict[str, Any]) -> Any:
    """Daphne's, with the wire and the agreement in the scope of a WebSocket. The end of an application is noticed at once."""
    details = server.connections[protocol]
    if isinstance(protocol, WireProtocol):
        scope.setdefault("extensions", {}).update({WIRE_EXTENSION: protocol.wire, DEFLATE_EXTENSION: protocol.agree})
        scope.setdefault("asgi", {"version": "3.0"})
        slot = Mailslot()
        application = server.application(scope=scope, receive=slot.get, send=partial(server.handle_reply, protocol))
        details["application_instance"] = asyncio.ensure_future(application)
    else:
        slot = type(server).create_application(server, protocol, scope)
    if "application_instance" in details:
        details["application_instance"].add_done_callback(lambda _: rounds.soon(protocol))
    return slot


def protocol_connected(server: Any, rounds: Rounds, protocol: Any) -> None:
    """Daphne's, and the rounds hear of it."""
    type(server).protocol_connected(server, protocol)
    rounds.came(protocol)


def protocol_disconnected(server: Any, rounds: Rounds, protocol: Any) -> None:
    """Daphne's, and the rounds hear of it."""
    type(server).protocol_disconnected(server, protocol)
    rounds.gone(protocol)


class WireFactory(WebSocketFactory):  # type: ignore[misc]
    """Builds `WireProtocol`."""

    protocol = WireProtocol

    def __init__(self, server_class: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(server_class, *args, **kwargs)
        # Daphne walks all connections every second and every other second: 10 ms stalls with 5,000 of them.
        self.rounds = Rounds(server_class)
        server_class.application_checker = self.rounds.step
        server_class.protocol_connected = partial(protocol_connected, server_class, self.rounds)
        server_class.protocol_disconnected = partial(protocol_disconnected, server_class, self.rounds)
        server_class.create_application = partial(create_application, server_class, self.rounds)
        server_class.timeout_checker = nothing
        self._give_options()

    def setProtocolOptions(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802
        """Options belong to the class: 38 copies a connection cost 3 KB, and autobahn makes a text of them for its log."""
        super().setProtocolOptions(*args, **kwargs)
        self._give_options()

    def _give_options(self) -> None:
        for name in WebSocketProtocol.CONFIG_ATTRS:
            value = getattr(self, name)
            setattr(self.protocol, name, staticmethod(value) if callable(value) else value)
        limits = (self.maxMessagePayloadSize, self.maxFramePayloadSize)
        self.protocol.text_max = min((limit for limit in limits if limit > 0), default=math.inf)
