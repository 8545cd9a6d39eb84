"""A client for programs: drills, load, services that follow a wedding. The page has its own, `static/realtime/room.js`.

    async with Fleet(SystemClock()) as fleet:
        client = Client("ws://localhost:8000/ws/weddings/rose-garden/", ticket, fleet, on_event=print)
        await client.publish("chat.crew", {"text": "Doors in five"})

`realtime.session` decides, this moves the bytes. Ten thousand clients fit into one process: no task or timer belongs to one
that is connected, everything happens in callbacks of the socket and in the one timer of the `Fleet`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import socket
from collections.abc import Callable
from datetime import datetime

import msgspec
from picows import WSError, WSInvalidStatusError, ws_connect

from realtime.client_events import CaughtUp, Closed, Event, Payload, Refused, SentAway, Settled, raw_of
from realtime.client_fleet import Fleet, rank
from realtime.client_wire import ABNORMAL, MESSAGE_MAX_BYTES, Wire, check_address
from realtime.draft import checked_id
from realtime.errors import RealtimeError
from realtime.messages import PROTOCOL, Ok
from realtime.moving import Moving, Stage
from realtime.saying import ConnectionLost
from realtime.session import ClientSession, Phase
from realtime.state import RoomState

logger = logging.getLogger(__name__)

__all__ = ["Client", "Fleet", "Refused", "SentAway"]

HANDSHAKE_S = 10.0
READ_BUFFER_BYTES = 2_048
STALLED_S = 0.2
"""A suspended client looks so often whether it may come back."""


class Client:
    """One member of one room, connected as long as it can be.

    `on_event` is called on the loop for everything the application may want to know (`realtime.client_events`). With `state`
    the room is kept there. `source_address`: the local address to connect from; 127.0.0.x, to have more than 28,000 ports.
    `socket_of` makes the socket to connect, for one that is to be in another network namespace. Raises ValueError for a `url`
    that nothing can be connected to.
    """

    def __init__(
        self,
        url: str,
        ticket: str,
        fleet: Fleet,
        *,
        on_event: Callable[[Event], None] | None = None,
        state: RoomState | None = None,
        rng: random.Random | None = None,
        source_address: str | None = None,
        trusting: bool = False,
        socket_of: Callable[[], socket.socket] | None = None,
    ) -> None:
        check_address(url)
        rng = rng or random.Random()
        self.session = ClientSession(ticket, rng, trusting=trusting)
        self.state = state
        self._url = url
        self._fleet = fleet
        self._clock = fleet.clock
        self._on_event = on_event
        self._source = source_address
        self._socket_of = socket_of
        self._prefix = f"{rng.getrandbits(64):x}"
        self._numbers = itertools.count(1)
        self._wire: Wire | None = None
        self._stalled = False
        # On the way to another process: the connection to be, and the one that was.
        self._second: Wire | None = None
        self._first: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._wake_s = math.inf
        self._answers: dict[str, asyncio.Future[Ok]] = {}
        self._ready: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._over: RealtimeError | None = None

    # -- what an application does -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected until `leave`, without waiting. One that is to come back later comes back then."""
        idle = self._connecting is None and self._wire is None and self.session.connect_at_s is None
        if idle and self.session.phase is not Phase.OVER:
            self._connecting = asyncio.create_task(self._connect(), name="connect")

    async def connect(self) -> None:
        """`start`, and wait until the state is complete; for a server that is away it waits.

        Raises BadCredentials for one that is not let in (any more), SentAway with the close code when the server has closed
        for good for another reason, also before, and ConnectionLost after `leave`.
        """
        self._begin()
        if self.session.phase is Phase.LIVE:
            return
        if self._ready is None or self._ready.done():
            self._ready = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._ready)

    async def publish(
        self,
        kind: str,
        data: Payload,
        *,
        id: str | None = None,
        expires_at: datetime | None = None,
        replaces: str | None = None,
    ) -> Ok:
        """Say something and wait until it is stored; a durable kind survives any number of reconnections until then. Connects.

        Raises Refused with the server's code, OutboxFull, Invalid for an id that cannot be one, and ConnectionLost when an
        ephemeral kind cannot be sent now. With the connection over for good: as `connect`.
        """
        self._begin()
        ref, replaces = checked_id(id, "id") or self.new_id(), checked_id(replaces, "replaces") or None
        now_s = self._clock.monotonic()
        self.session.publish(ref, kind, raw_of(data), now_s, expires_at=expires_at, replaces=replaces)
        if ref not in self._answers:
            self._answers[ref] = asyncio.get_running_loop().create_future()
        answer = self._answers[ref]
        self._pump()
        return await asyncio.shield(answer)

    def post(self, kind: str, data: Payload, *, id: str | None = None, expires_at: datetime | None = None) -> str:
        """`publish` without waiting: the answer is a `Settled` event, with `connection_lost` when the connection is over before
        it came. Returns the id. Raises as `publish`."""
        self._begin()
        ref = checked_id(id, "id") or self.new_id()
        self.session.publish(ref, kind, raw_of(data), self._clock.monotonic(), expires_at=expires_at)
        self._pump()
        return ref

    def send(self, kind: str, data: Payload, *, id: str | None = None) -> str | None:
        """Say something ephemeral and forget it. Returns its id, None when there is no connection now. Raises as `publish`."""
        ref = checked_id(id, "id") or self.new_id()
        if not self.session.send(ref, kind, raw_of(data)):
            return None
        self._pump()
        return ref

    async def leave(self) -> None:
        """Go on purpose: the others see it at once. Returns when the connection is closed."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        events = self.session.leave(self._clock.monotonic())
        if self.session.phase is Phase.OVER:
            if self._connecting is not None:
                self._connecting.cancel()
            self._hand_on(events)
            self._end()
        self._pump()
        await asyncio.shield(self._gone)

    def drop(self) -> None:
        """Lose the connection as a phone in a cellar does, without a word; then come back."""
        if self._wire is not None:
            self._hang_up(graceful=False)
            self._pump()

    def stall(self, stalled: bool) -> None:
        """Read nothing and do not come back, or again: a phone whose page is suspended, for drills."""
        self._stalled = stalled
        if self._wire is not None:
            self._wire.stall() if stalled else self._wire.read_again()

    def abandon(self) -> None:
        """Stop at once and for good, without a word, also to the application: what it waits for, it knows."""
        self.session.abandon()
        if self._connecting is not None:
            self._connecting.cancel()
        for wire in (self._wire, self._second, self._first):
            if wire is not None:
                wire.close(graceful=False)
        self._wire = self._second = self._first = None
        self._end()

    def new_id(self) -> str:
        """An id for a publication that nobody else makes."""
        return f"{self._prefix}-{next(self._numbers)}"

    def _begin(self) -> None:
        if self._over is not None:
            raise self._over.with_traceback(None)
        self.start()

    # -- the socket ---------------------------------------------------------------------------------------------------

    async def _connect(self, elsewhere: str = "") -> None:
        ticket, query = self.session.credentials()
        wire, url, socket_of = Wire(self), elsewhere or self._url, self._socket_of
        headers = {"Authorization": f"Bearer {ticket}", "Sec-WebSocket-Protocol": PROTOCOL}
        status, reason = None, ""
        try:
            async with self._fleet.door(rank(self.session.member)):
                await ws_connect(
                    lambda: wire,
                    f"{url}?{query}" if query else url,
                    extra_headers=headers,
                    websocket_handshake_timeout=HANDSHAKE_S,
                    max_frame_size=MESSAGE_MAX_BYTES,
                    max_redirects=0,
                    read_buffer_init_size=READ_BUFFER_BYTES,
                    local_addr=(self._source, 0) if self._source else None,
                    socket_factory=(lambda url: socket_of()) if socket_of is not None else None,
                )
        except WSInvalidStatusError as error:
            status = int(error.response.status) if error.response else None
            reason = f"HTTP {status}"
        except (OSError, WSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        finally:
            self._connecting = None
        if wire.transport is None:
            # picows returns without an error when the other side resets before it has answered.
            reason = reason or "closed during the handshake"
            if self._wire is None:
                self._hand_on(self.session.refused(status, reason, self._clock.monotonic()))
            elif self.session.moving is not None:
                self.session.moving.failed(self._clock.monotonic())
            self._pump()

    def opened(self, wire: Wire) -> None:
        """The upgrade went through."""
        if self.session.phase is Phase.OVER:
            wire.close(graceful=False)
            return
        if self._wire is not None:
            self._second = wire
            return
        self._wire = wire
        self.session.opened(self._clock.monotonic())
        self._pump()

    def receive(self, wire: Wire, text: bytes) -> None:
        """One whole text message."""
        session, now_s = self.session, self._clock.monotonic()
        try:
            if wire is self._second:
                events = self._receive_second(wire, text, now_s)
            else:
                events = session.receive(text, now_s, first=wire is self._first)
        except msgspec.MsgspecError as error:
            session.hang_up = f"not the protocol: {error}"
            events = []
        if events:
            self._hand_on(events)
        self._pump()

    def _receive_second(self, wire: Wire, text: bytes, now_s: float) -> list[Event]:
        session = self.session
        events = session.receive_second(text, now_s) if session.moving is not None else None
        if events is None:  # nothing to build on: come back as after a loss, on the connection there is
            if self._wire is not None:
                self._hang_up(graceful=True)
            self._second, self._wire = None, wire
            session.credentials()
            session.opened(now_s)
            return session.receive(text, now_s)
        if session.moving is not None and session.moving.stage is Stage.CROSSING:
            self._first, self._wire, self._second = self._wire, wire, None
        return events

    def heard(self, wire: Wire) -> None:
        """Bytes that are no whole text message."""
        self.session.heard(self._clock.monotonic())
        self._pump()

    def closed(self, wire: Wire, code: int) -> None:
        """The connection is gone."""
        now_s = self._clock.monotonic()
        if wire is self._second:
            self._second = None
            if self.session.moving is not None:
                self.session.moving.failed(now_s)
        elif wire is self._first:
            self._first = None
            self._hand_on(self.session.first_gone(now_s))
        else:
            self._lost(code, now_s)
        self._pump()

    def _lost(self, code: int, now_s: float) -> None:
        """The one that counts is gone. A second one that was under way is not waited for: the usual way back is as quick."""
        for other in (self._second, self._first):
            if other is not None:
                other.close(graceful=True)
        self._wire = self._second = self._first = None
        self._hand_on(self.session.closed(code, now_s))

    def wake(self, at_s: float) -> None:
        """The fleet's timer, at the time that was asked for."""
        if at_s != self._wake_s:
            return  # an earlier one was asked for since
        self._wake_s = math.inf
        now_s = self._clock.monotonic()
        if self.session.connect_at_s is not None and self._stalled:
            self.session.connect_at_s = now_s + STALLED_S
        elif self.session.connect_at_s is not None:
            if now_s >= self.session.connect_at_s and self._connecting is None:
                self.session.connect_at_s = None
                self.start()
        else:
            self.session.tick(now_s)
        self._pump()

    def _pump(self) -> None:
        """Send what the session wants sent, hang up when it wants that, ask for its next wake-up."""
        session, wire = self.session, self._wire
        if wire is not None:
            if session.outgoing:
                wire.send(session.outgoing)
                session.outgoing.clear()
            if session.hang_up:
                self._hang_up(graceful=True)
                self._pump()
                return
            if session.moving is not None:
                self._move(session.moving)
        at_s = session.due_s if session.connect_at_s is None else session.connect_at_s
        if at_s < self._wake_s:
            self._wake_s = at_s
            self._fleet.wake(self, at_s)

    def _hang_up(self, *, graceful: bool) -> None:
        """End this connection now, whatever the other side says to it."""
        assert self._wire is not None
        self._wire.close(graceful=graceful)
        self._lost(ABNORMAL, self._clock.monotonic())

    def _move(self, moving: Moving) -> None:
        """Open the second connection, close the first one, when it is time."""
        now_s = self._clock.monotonic()
        if self._connecting is None and self._second is None and moving.open_now(now_s):
            self._connecting = asyncio.create_task(self._connect(moving.url), name="move")
        elif self._first is not None and moving.close_now(now_s):
            self._first.close(graceful=True)
            self._first = None
            self._hand_on(self.session.first_gone(now_s))
            self._pump()

    # -- the application ----------------------------------------------------------------------------------------------

    def _hand_on(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Settled():
                    self._settle(event)
                case Closed(retry_in_s=None):
                    # The only other reason to stay away is that this side left.
                    over = self._end(event.error if self._gone is None else None)
                    self._hand_on(self.session.saying.over(over.message))
                case CaughtUp() if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)
            if self.state is not None:
                self.state.apply(event)
            if self._on_event is not None:
                try:
                    self._on_event(event)
                except Exception:
                    logger.exception("the application failed on %s", type(event).__name__)

    def _settle(self, event: Settled) -> None:
        answer = self._answers.pop(event.ref, None)
        if answer is None or answer.done():
            return
        if isinstance(event.reply, Ok):
            answer.set_result(event.reply)
        else:
            answer.set_exception(Refused(event.reply))
            answer.exception()  # nobody may be waiting any more

    def _end(self, error: RealtimeError | None = None) -> RealtimeError:
        """Nothing comes after this: who waits is told why, and so is who asks later. Returns why."""
        self._over = self._over or error or ConnectionLost("The client left.")
        for future in (self._ready, *self._answers.values()):
            if future is not None and not future.done():
                future.set_exception(self._over)
                future.exception()  # nobody may be waiting any more
        self._answers.clear()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        return self._over
