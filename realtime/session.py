"""The client's half of the protocol, without sockets: values and times in, events and texts to send out.

`ClientSession` keeps what must outlive a connection: the position in the stream, the ticket, and the outbox of what was said
and not acknowledged. The shell (`realtime.client`) moves bytes: it calls `receive` for each text frame, sends what is in
`outgoing`, hangs up when `hang_up` names a reason, calls `tick` no later than `due_s`, and connects at `connect_at_s`.
"""

from __future__ import annotations

import math
import random
from datetime import datetime
from enum import Enum, auto
from typing import assert_never
from urllib.parse import urlencode

from msgspec import Raw

from realtime.client_events import CaughtUp, Closed, Confirmed, Connected, Event, Gap, Moved, Received, SnapshotTaken, Via
from realtime.closing import CloseCode
from realtime.errors import BadCredentials
from realtime.messages import (
    Ack,
    Error,
    Goodbye,
    Leave,
    Live,
    Move,
    Ok,
    Ping,
    Plan,
    Pong,
    Pub,
    Publish,
    Sender,
    Snapshot,
    Welcome,
    decode_to_client,
    encode,
)
from realtime.moving import Moving, Stage
from realtime.policy.backoff import reconnect_delay_s
from realtime.saying import ConnectionLost, Saying, durable
from realtime.shown import Head, Shown, decode_head, urgent

ACK_EVERY = 32
ACK_AFTER_S = 2.0
ACK_SOON_S = 0.02
"""For what asks for it: soon enough to be a measurement, late enough for one answer to a burst."""
HELLO_S = 20.0
"""Silence allowed between the upgrade and the welcome, which says the real heartbeat. A server that is busy with a crowd gets
no better when the crowd gives up and knocks again."""
LEAVE_S = 2.0
SHOWN_MAX = 64
"""Emergencies remembered by id, so that the stream's copy of one that went ahead is not shown again. ops.md 1.4: 0.02/h."""
ABNORMAL = 1006


class Phase(Enum):
    IDLE = auto()
    JOINING = auto()
    LIVE = auto()
    LEAVING = auto()
    OVER = auto()


class ClientSession:
    """One member of one room over all its connections.

    `trusting`: take every publication as it comes, without looking at offsets. For drills only: it shows what the server really
    sent, where a client would help itself.
    """

    def __init__(self, ticket: str, rng: random.Random, *, trusting: bool = False) -> None:
        self.outgoing: list[bytes] = []
        self.hang_up = ""
        self.phase = Phase.IDLE
        self.connect_at_s: float | None = None
        self.position: int | None = None
        self.epoch = ""
        self.member: Sender | None = None
        self.heartbeat_s = HELLO_S
        self.saying = Saying()
        self.outbox = self.saying.outbox
        self.gaps = 0
        self.repeats = 0
        self.connections = 0
        self._rng = rng
        self._ticket = ticket
        self._resume = ""
        self._resuming = False
        self.trusting = trusting
        self._attempt = 0
        self._goodbye: Goodbye | None = None
        self._recovered = False
        self._shown = Shown(SHOWN_MAX)
        # On its way to another process; and what was said on the first connection and is not answered.
        self.moving: Moving | None = None
        self.moves = 0
        self._return_s = 0.0
        self._heard_s = 0.0
        self._pinged = False
        self._unacked = 0
        self._ack_at_s = math.inf
        self._leave_at_s = math.inf

    # -- connecting ---------------------------------------------------------------------------------------------------

    def credentials(self) -> tuple[str, str]:
        """(ticket, query string without "?") for the connection that is opened now."""
        self.connect_at_s = None
        self._resuming = bool(self._resume)
        query = urlencode({"epoch": self.epoch, "since": self.position}) if self.position is not None and self.epoch else ""
        return self._resume or self._ticket, query

    def opened(self, now_s: float) -> None:
        """The upgrade went through."""
        self.phase = Phase.JOINING
        self.connections += 1
        self.hang_up = ""
        self.heartbeat_s = HELLO_S
        self._heard_s, self._pinged, self._goodbye = now_s, False, None

    def refused(self, status: int | None, reason: str, now_s: float) -> list[Event]:
        """There was no upgrade; `status` is the HTTP status, None when there was no HTTP answer."""
        if status != 403:
            return self._come_back(0, reason, now_s, None)
        if self._resuming:
            self._resume = ""  # perhaps it was only too old; the first ticket gets one more try
            return self._come_back(status, reason, now_s, 0.0)
        return self._stay_away(status, BadCredentials().message)

    def closed(self, code: int, now_s: float) -> list[Event]:
        """The connection ended with this close code; 1006 when there was none."""
        goodbye, leaving = self._goodbye, self.phase is Phase.LEAVING
        self.moving = None
        lost = self.saying.lost()
        self.outgoing.clear()
        self._ack_at_s = math.inf
        if goodbye is not None and code in (0, 1005, 1006):
            code = goodbye.code
        reason = self.hang_up or (goodbye.reason if goodbye else "")
        if leaving or self.phase is Phase.OVER:
            return lost + self._stay_away(code, "left")
        if 4400 <= code <= 4499:
            return lost + self._stay_away(code, reason)
        if code == CloseCode.STATE_LOST:
            self.position = None
        retry_s = goodbye.retry_after_ms / 1_000 if goodbye and goodbye.retry_after_ms else None
        return lost + self._come_back(code, reason, now_s, retry_s)

    def _come_back(self, code: int, reason: str, now_s: float, retry_s: float | None) -> list[Event]:
        if retry_s is None:
            first_s = self._return_s if self._attempt == 0 and code == ABNORMAL else 0.0
            retry_s = self._rng.uniform(0.0, first_s) if first_s else reconnect_delay_s(self._attempt, self._rng)
        self._attempt += 1
        self.phase = Phase.IDLE
        self.connect_at_s = now_s + retry_s
        return [Closed(code, reason, retry_s)]

    def _stay_away(self, code: int, reason: str) -> list[Event]:
        self.phase = Phase.OVER
        self.connect_at_s = None
        return [Closed(code, reason, None)]

    # -- what the application wants -----------------------------------------------------------------------------------

    def publish(
        self, id: str, kind: str, data: Raw, now_s: float, *, expires_at: datetime | None = None, replaces: str | None = None
    ) -> None:
        """Say something and wait for a `Settled`. Durable kinds are kept until then, over any number of connections.

        Raises OutboxFull, and ConnectionLost for an ephemeral kind while there is no connection.
        """
        text = encode(Publish(id, kind, data, expires_at, replaces))
        if durable(kind):
            self.outbox.add(id, text, urgent=urgent(kind))
            self._flush(now_s)
        elif self.phase is not Phase.LIVE:
            raise ConnectionLost
        else:
            self.saying.once(id)
            self.outgoing.append(text)

    def send(self, id: str, kind: str, data: Raw) -> bool:
        """Say something ephemeral without waiting for an answer. Whether there was a connection."""
        if self.phase is not Phase.LIVE:
            return False
        self.outgoing.append(encode(Publish(id, kind, data)))
        return True

    def leave(self, now_s: float) -> list[Event]:
        """Go on purpose. The server closes; when it does not within `LEAVE_S`, the client hangs up."""
        if self.phase in (Phase.JOINING, Phase.LIVE):
            self.outgoing.append(encode(Leave()))
            self.phase = Phase.LEAVING
            self._leave_at_s = now_s + LEAVE_S
            return []
        return [] if self.phase in (Phase.LEAVING, Phase.OVER) else self._stay_away(CloseCode.NORMAL, "left")

    def abandon(self) -> None:
        """Never come back."""
        self.phase, self.connect_at_s = Phase.OVER, None

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def due_s(self) -> float:
        """When `tick` has something to do, if nothing arrives until then."""
        match self.phase:
            case Phase.IDLE | Phase.OVER:
                return math.inf
            case Phase.LEAVING:
                return self._leave_at_s
            case _:
                silent_s = self._heard_s + self.heartbeat_s / (1 if self._pinged else 2)
                moving_s = self.moving.due_s if self.moving is not None else math.inf
                return min(moving_s, silent_s, self._ack_at_s, self.outbox.due_s)

    def tick(self, now_s: float) -> None:
        """Ask whether the other side is there, notice that it is not, acknowledge, send again."""
        if self.moving is not None and self.moving.stage is Stage.ARRIVED and now_s >= self.moving.due_s:
            self.moving = None
        if self.phase is Phase.LEAVING and now_s >= self._leave_at_s:
            self.hang_up = "left"
        if self.phase not in (Phase.JOINING, Phase.LIVE):
            return
        idle_s = now_s - self._heard_s
        if idle_s >= self.heartbeat_s and self._pinged:
            self.hang_up = f"nothing arrived for {self.heartbeat_s:g} s"
        elif idle_s >= self.heartbeat_s / 2 and not self._pinged:
            self._pinged = True
            # A timer that came late must leave the answer its time.
            self._heard_s = max(self._heard_s, now_s - self.heartbeat_s / 2)
            self.outgoing.append(encode(Ping()))
        if now_s >= self._ack_at_s:
            self._ack()
        self._flush(now_s)

    def _ack(self) -> None:
        self._unacked, self._ack_at_s = 0, math.inf
        self.outgoing.append(encode(Ack(self.position or 0)))

    def _flush(self, now_s: float) -> None:
        if self.phase is Phase.LIVE and (self.moving is None or self.moving.may_speak(self.outbox.n_in_flight)):
            self.outgoing.extend(self.outbox.take(now_s))

    # -- moving -------------------------------------------------------------------------------------------------------

    def receive_second(self, text: bytes, now_s: float) -> list[Event] | None:
        """A text frame of the second connection before it is live. None: it brings a snapshot, so this is no move but a return:
        call `closed` for the first connection and give this text to `receive`."""
        assert self.moving is not None
        match decode_to_client(text):
            case Welcome() as welcome:
                if not welcome.recovered or welcome.epoch != self.epoch:
                    return None
                self._resume, self._return_s = welcome.resume or self._resume, welcome.return_ms / 1_000
                return []
            case Live(up_to, present):
                self.moves += 1
                self.moving.live(now_s)
                self.saying.crossing()
                self._flush(now_s)
                self.position = max(up_to, self.position or 0)
                self._ack_at_s = min(self._ack_at_s, now_s + ACK_AFTER_S)
                return [Moved(self.position, present)]
            case Pub() as pub:
                return self._pub(pub, now_s)
        return []

    def first_gone(self, now_s: float) -> list[Event]:
        """The first connection is closed: what was not answered on it for good is said again."""
        if self.moving is None:
            return []
        lost = self.saying.first_gone(answered=self.moving.answered)
        self.moving.closed(now_s)
        self._flush(now_s)
        return lost

    # -- what arrives -------------------------------------------------------------------------------------------------

    def heard(self, now_s: float) -> None:
        """Any bytes arrived."""
        self._heard_s, self._pinged = now_s, False

    def receive(self, text: bytes | str, now_s: float, *, first: bool = False) -> list[Event]:
        """One whole text frame. Raises msgspec.MsgspecError when it is not a message of the protocol. `first`: it is of the
        connection that a move leaves behind, of which only publications and answers count."""
        self._heard_s, self._pinged = now_s, False
        message = decode_to_client(text)
        if first and not isinstance(message, Pub | Ok | Error):
            return []
        match message:
            case Pub():
                return self._pub(message, now_s)
            case Ok():
                events = self.saying.ok(message)
                self._flush(now_s)
                return events
            case Pong(resume=resume):
                self._resume = resume or self._resume
                return []
            case Plan(heartbeat_s):
                self.heartbeat_s = heartbeat_s
                return []
            case Error():
                events = self.saying.error(message, now_s)
                self._flush(now_s)
                return events
            case Welcome():
                return self._welcome(message)
            case Snapshot():
                return self._snapshot(message)
            case Live():
                return self._live(message, now_s)
            case Goodbye():
                self._goodbye = message
                return []
            case Move():
                self._resume = message.resume or self._resume
                if self.moving is None and self.phase is Phase.LIVE:
                    self.moving = Moving(message.url, now_s, self._rng)
                return []
            case _:
                assert_never(message)

    def _pub(self, pub: Pub, now_s: float) -> list[Event]:
        if self.hang_up:
            return []
        live = self.phase is not Phase.JOINING
        if not pub.offset:
            if pub.provisional:
                return [Received(pub, Via.PROVISIONAL)] if self._first_time(pub) or self.trusting else []
            if self.moving is not None and not self.moving.is_new(pub.sender, pub.id):
                return []
            return [Received(pub, Via.LIVE)]
        position = self.position
        if not self.trusting and (position is None or pub.prev != position):
            if position is not None and pub.offset <= position:
                self.repeats += self.moving is None
                return []
            return self._gap(pub)
        self.position = max(pub.offset, position or 0)
        self._unacked += 1
        if self._unacked >= ACK_EVERY:
            self._ack()
        else:
            self._ack_at_s = min(self._ack_at_s, now_s + (ACK_SOON_S if pub.ack else ACK_AFTER_S))
        if urgent(pub.kind) and not self._first_time(pub):
            return [Confirmed(pub)]
        return [Received(pub, Via.LIVE if live else Via.REPLAY)]

    def _gap(self, pub: Pub) -> list[Event]:
        position = self.position
        self.gaps += 1
        self.hang_up = f"a gap between {position} and {pub.offset}"
        if self.phase is Phase.JOINING:
            self.position = None  # even the replay has one: start from a snapshot
        return [Gap(position or 0, pub.prev, pub.offset)]

    def _first_time(self, pub: Pub | Head) -> bool:
        return self._shown.first_time(pub.sender, pub.id)

    def _welcome(self, welcome: Welcome) -> list[Event]:
        self.epoch, self.member = welcome.epoch, welcome.member
        self.heartbeat_s = welcome.heartbeat_s
        self._resume = welcome.resume or self._resume
        self._return_s = welcome.return_ms / 1_000
        self._recovered = welcome.recovered
        if not welcome.recovered:
            self.position = None
        return [Connected(welcome)]

    def _snapshot(self, snapshot: Snapshot) -> list[Event]:
        self.position = snapshot.offset
        for raw in snapshot.latest:
            head = decode_head(raw)
            if urgent(head.kind):
                self._first_time(head)
        return [SnapshotTaken(snapshot)]

    def _live(self, live: Live, now_s: float) -> list[Event]:
        self.position = live.up_to
        if self.phase is Phase.JOINING:
            self.phase = Phase.LIVE
        self._attempt = 0
        # Also when it was said before: the server may be another one by now, and has to know.
        self._ack_at_s = min(self._ack_at_s, now_s + ACK_AFTER_S)
        self._flush(now_s)
        return [CaughtUp(live.up_to, self._recovered, live.present)]
