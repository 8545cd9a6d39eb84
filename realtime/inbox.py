"""What one member says: checked, limited, handed on, answered. Called for each text frame, on the loop, without a thread."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from realtime.clock import Clock
from realtime.closing import CloseCode
from realtime.committer import Committer
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.connection_optimizer import Told
from realtime.errors import Invalid, Overloaded, RateLimited, RealtimeError
from realtime.hub import Hub
from realtime.intake import Intake
from realtime.kinds import KINDS, Priority
from realtime.messages import Ack, Error, Hint, Leave, Ok, Ping, Pong, Publish, decode_to_server
from realtime.policy.limits import STRIKES_MAX, message_limit
from realtime.policy.turns import FOR_NOW, Turns
from realtime.publication import Draft, Stored
from realtime.unreadable import complaint

REST_S = 0.5
"""Whose message was shed is not read for so long: to refuse costs as much as to serve, and a phone that does not wait as it was
told must not take the time of those who have something urgent to say."""
_NONE: dict[Priority, Turns] = {}
"""Of those who have nothing to wait for. Nobody adds to it."""
_places = itertools.count(1)
"""Of everything durable that is said to this process, in order; emergencies have none and wait for nothing."""

FAULTS_MAX = 10
"""Gaps and the like that one connection may tell of. Who sees a gap hangs up and comes back: more is nobody's experience, the
first pages already, and a number that somebody made up must not drown what others tell."""


class Place(NamedTuple):
    """Of something durable in the order of what was said, among what is as urgent."""

    priority: Priority
    number: int


class Inbox:
    """The receiving half of a connection; `Connection` is the sending one."""

    def __init__(
        self,
        connection: Connection,
        hub: Hub,
        committer: Committer,
        intake: Intake,
        config: RealtimeConfig,
        clock: Clock,
        plan: Callable[[Connection], None],
    ) -> None:
        self._connection = connection
        self._hub = hub
        self._committer = committer
        self._intake = intake
        self._clock = clock
        self._plan = plan
        self._limit = message_limit(connection.role, config)
        self._strikes = 0
        self._faults_left = FAULTS_MAX
        # {priority: what was refused for now}, and what was handed to the committer last and is not answered.
        self._turns = _NONE
        self._last: asyncio.Future[Stored] | None = None

    def take(self, text: bytes | str | None, arrived_s: Callable[[], float | None] = lambda: None) -> None:
        """One message; None is a binary one. `arrived_s`: when the kernel had it, by the clock; None: not known, so now."""
        connection = self._connection
        if connection.closing is not None:
            return
        if text is None:
            connection.end(CloseCode.MALFORMED, "Only text frames are understood.")
            return
        if len(text) > self._limit or (isinstance(text, str) and len(text.encode()) > self._limit):
            connection.end(CloseCode.TOO_LARGE, f"A {connection.member.role} may send {self._limit} bytes at once.")
            return
        try:
            message = decode_to_server(text)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            connection.tell(complaint(text, error))
            self._strike()
            return
        match message:
            case Publish():
                self._publish(message, arrived_s())
            case Ack(offset):
                self._hub.acknowledged(connection, offset)
            case Ping(ref):
                connection.tell(Pong(ref, at=self._clock.now()))
            case Hint():
                self._hint(message)
            case Leave():
                self._hub.leave(connection, on_purpose=True)
                connection.end(CloseCode.NORMAL, "Goodbye.")

    def _hint(self, hint: Hint) -> None:
        connection = self._connection
        try:
            # A new plan flushes the room: nobody may ask for one as often as they like.
            self._intake.pay(connection.room, connection.member)
        except RateLimited as error:
            self._refuse("", error)
            return
        self._strikes = 0
        counted = min(hint.gaps, self._faults_left)
        self._faults_left -= counted
        self._hub.faults(connection, counted)
        connection.told = Told(hint.visible, hint.save_data, hint.effective)
        self._plan(connection)

    def _publish(self, message: Publish, arrived_s: float | None) -> None:
        connection = self._connection
        place = self._place(message)
        if place is not None and (place := self._early(message.id, place)) is None:
            return
        try:
            checked = self._checked(message, arrived_s)
            if not checked.kind.durable:
                self._hub.ephemeral(checked)
                connection.tell(Ok(message.id))
                return
        except RealtimeError as error:
            self._refuse(message.id, error, place)
            return
        stored = self._committer.submit(checked, lambda: connection.tell(Ok(message.id, provisional=True)))
        if place is not None:
            self._last = stored
        stored.add_done_callback(lambda done: self._answer(message.id, done, place))

    def _place(self, message: Publish) -> Place | None:
        """Where it is in the order of what is said here; None: it waits for nothing, and nothing for it."""
        kind = KINDS.get(message.kind)
        if kind is None or not kind.durable or kind.priority is Priority.P0:
            return None
        return Place(kind.priority, next(_places))

    def _early(self, id: str, place: Place) -> Place | None:
        """Its place, which it had before when it comes again. None: it came before its turn, and was refused."""
        last = self._last
        error = last.exception() if last is not None and last.done() and not last.cancelled() else None
        if isinstance(error, FOR_NOW):  # in this turn of the loop: `last` itself is answered after this one
            self._refuse(id, error, place)
            return None
        turns = self._turns.get(place.priority)
        if turns is None:
            return place
        number, early = turns.take(id, place.number, self._clock.monotonic())
        if early is not None:
            self._tell(id, early)
            return None
        if not turns:
            del self._turns[place.priority]
        return Place(place.priority, number)

    def _checked(self, message: Publish, arrived_s: float | None) -> Draft:
        connection = self._connection
        try:
            checked = self._intake.draft(
                connection.room,
                message.kind,
                message.data,
                sender=connection.member,
                id=message.id,
                expires_at=message.expires_at,
                replaces=message.replaces,
                received_s=self._clock.monotonic() if arrived_s is None else arrived_s,
            )
        except RateLimited:
            raise
        except RealtimeError as error:
            self._strikes = 0  # whatever was wrong with it, it was paid for
            if isinstance(error, Overloaded):
                connection.rest(REST_S)
            raise
        self._strikes = 0
        return checked

    def _answer(self, ref: str, done: asyncio.Future[Stored], place: Place | None) -> None:
        if done is self._last:
            self._last = None
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or (error is not None and not isinstance(error, RealtimeError)):
            return  # the process ends; the client keeps what was not acknowledged
        if error is not None:
            self._refuse(ref, error, place)
        else:
            self._connection.tell(Ok(ref, done.result().offset, done.result().duplicate))

    def _refuse(self, ref: str, error: RealtimeError, place: Place | None = None) -> None:
        if isinstance(error, Invalid | RateLimited):
            self._strike()
        if place is not None and isinstance(error, FOR_NOW):
            if not self._turns:
                self._turns = {}
            self._turns.setdefault(place.priority, Turns()).refused(ref, place.number, error, self._clock.monotonic())
        self._tell(ref, error)

    def _tell(self, ref: str, error: RealtimeError) -> None:
        self._connection.tell(Error(error.code, error.message, ref, error.field, error.retry_after_ms))

    def _strike(self) -> None:
        self._strikes += 1
        if self._strikes > STRIKES_MAX:
            self._connection.end(CloseCode.ABUSE, "Too many messages that were refused.")
