"""What a client says, and what becomes of it: an event for each final answer. No I/O."""

from __future__ import annotations

from realtime.client_events import Event, Settled
from realtime.errors import RealtimeError
from realtime.kinds import KINDS
from realtime.messages import Error, Ok
from realtime.policy.resending import Outbox

RETRY_S = 1.0
"""Wait before trying again when the server does not say how long."""
TRY_AGAIN = frozenset({"journal_unavailable", "rate_limited", "overloaded"})
LOST = "connection_lost"


class ConnectionLost(RealtimeError):
    """The connection is gone, and an ephemeral publication is not sent twice."""

    code = LOST


class Saying:
    """Durable publications are kept until they are answered, ephemeral ones only wait for their answer."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self._fleeting: set[str] = set()
        # Of those the ones that were said on a connection that a move leaves behind.
        self._behind: set[str] = set()

    def once(self, id: str) -> None:
        """An ephemeral publication whose answer somebody waits for."""
        self._fleeting.add(id)

    def lost(self) -> list[Event]:
        """The connection is gone: what is durable is said again on the next one."""
        self.outbox.again()
        return self._lost(set(self._fleeting))

    def over(self, why: str) -> list[Event]:
        """There will be no other connection: no answer comes to what is durable. What was on its way may be stored."""
        return [Settled(ref, Error(LOST, why, ref)) for ref in self.outbox.give_up()]

    def crossing(self) -> None:
        """From now on things are said on another connection; this one may still bring answers."""
        self._behind = set(self._fleeting)

    def first_gone(self, *, answered: bool) -> list[Event]:
        """The connection that was left behind is closed. `answered`: all that is durable was answered on it, or promised: a
        promise that it did not live to keep has to be made again by the other one."""
        if answered:
            self.outbox.promises_again()
        else:
            self.outbox.again()
        return self._lost(self._behind & self._fleeting)

    def _lost(self, refs: set[str]) -> list[Event]:
        self._fleeting -= refs
        return [Settled(ref, Error(LOST, ConnectionLost().message, ref)) for ref in sorted(refs)]

    def ok(self, ok: Ok) -> list[Event]:
        if ok.ref in self.outbox:
            if ok.provisional:
                self.outbox.promised(ok.ref)
                return []
            self.outbox.settle(ok.ref)
        elif ok.ref not in self._fleeting:
            return []
        self._fleeting.discard(ok.ref)
        return [Settled(ok.ref, ok)]

    def error(self, error: Error, now_s: float) -> list[Event]:
        if error.ref in self.outbox:
            if error.code in TRY_AGAIN:
                self.outbox.postpone(error.ref, now_s + (error.retry_after_ms / 1_000 or RETRY_S))
                return []
            self.outbox.settle(error.ref)
        self._fleeting.discard(error.ref)
        return [Settled(error.ref, error)]


def durable(kind: str) -> bool:
    """Whether a publication of this kind is kept until it is acknowledged. One we do not know is: that is the safe side."""
    known = KINDS.get(kind)
    return known is None or known.durable
