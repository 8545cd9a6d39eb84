"""What a client has said and has no final answer to: kept, in order, bounded, and said again when that makes sense."""

from __future__ import annotations

import heapq
import math

from realtime.errors import RealtimeError

OUTBOX_MAX_BYTES = 1_048_576
"""Half a day of chat of one phone. Beyond it `publish` raises `OutboxFull`, so that the application can say so."""
IN_FLIGHT_MAX = 16
"""Publications on the wire without an answer. A long outbox sent at once would be refused as a flood (policy/limits.py)."""


class OutboxFull(RealtimeError):
    """Too much waits to be sent; nothing was taken."""

    code = "outbox_full"


class _Pending:
    __slots__ = ("answered", "seq", "text", "urgent")

    def __init__(self, seq: int, text: bytes, urgent: bool) -> None:
        self.seq = seq
        self.text = text
        self.urgent = urgent
        self.answered = False


class Outbox:
    """What was said and has no final answer, in order; bounded in bytes, with a bound on how much is on the wire.

    An emergency goes ahead of everything and waits for nothing but itself: a journal that is down refuses the chat before it,
    but not the emergency.
    """

    def __init__(self, max_bytes: int = OUTBOX_MAX_BYTES) -> None:
        self.retry_at_s = -math.inf
        # {emergency that is to be sent (again): not before}.
        self._urgent: dict[str, float] = {}
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._seq = 0
        self._window = IN_FLIGHT_MAX
        self._pending: dict[str, _Pending] = {}
        self._waiting: list[tuple[int, str]] = []
        self._in_flight: set[str] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, id: str) -> bool:
        return id in self._pending

    @property
    def n_in_flight(self) -> int:
        """How many are on the wire without an answer."""
        return len(self._in_flight)

    @property
    def n_waiting(self) -> int:
        """How many are to be sent (again)."""
        return len(self._waiting) + len(self._urgent)

    @property
    def due_s(self) -> float:
        """When `take` has something again that was postponed; inf: nothing was."""
        return min((at_s for at_s in (self.retry_at_s, *self._urgent.values()) if at_s > -math.inf), default=math.inf)

    def add(self, id: str, text: bytes, *, urgent: bool = False) -> None:
        """Raises OutboxFull. The same id again changes nothing: it is the same publication."""
        if id in self._pending:
            return
        if self._n_bytes + len(text) > self._max_bytes:
            raise OutboxFull
        self._seq += 1
        self._n_bytes += len(text)
        self._pending[id] = _Pending(self._seq, text, urgent)
        if urgent:
            self._urgent[id] = -math.inf
        else:
            heapq.heappush(self._waiting, (self._seq, id))

    def again(self) -> None:
        """The connection was lost: everything has to be said again, in order."""
        self._in_flight.clear()
        self._waiting = sorted((pending.seq, id) for id, pending in self._pending.items() if not pending.urgent)
        self._urgent = {id: -math.inf for id, pending in self._pending.items() if pending.urgent}
        for pending in self._pending.values():
            pending.answered = False

    def promises_again(self) -> None:
        """Who promised is gone: what was promised is said again, ahead of everything. What is on its way is not touched."""
        for id, pending in self._pending.items():
            if pending.answered:
                pending.answered, self._urgent[id] = False, -math.inf

    def settle(self, id: str) -> None:
        pending = self._pending.pop(id)
        self._n_bytes -= len(pending.text)
        self._urgent.pop(id, None)
        if id in self._in_flight:
            self._in_flight.discard(id)
            self._window = min(IN_FLIGHT_MAX, self._window + 1)
        elif not pending.answered:
            self._waiting = [(seq, other) for seq, other in self._waiting if other != id]
            heapq.heapify(self._waiting)

    def give_up(self) -> list[str]:
        """Nothing will be sent any more. Returns the ids of what it held, in order, and holds nothing."""
        ids = list(self._pending)
        for held in (self._pending, self._waiting, self._urgent, self._in_flight):
            held.clear()
        self._n_bytes, self.retry_at_s = 0, -math.inf
        return ids

    def promised(self, id: str) -> None:
        """It left without the journal; the final answer comes when it comes, and holds nothing else up."""
        self._pending[id].answered = True
        self._in_flight.discard(id)

    def postpone(self, id: str, at_s: float) -> None:
        """Refused for now: from `at_s` on one at a time until answers come."""
        pending = self._pending[id]
        if pending.urgent:
            self._in_flight.discard(id)
            pending.answered, self._urgent[id] = False, at_s
            return
        if id in self._in_flight or pending.answered:
            self._in_flight.discard(id)
            pending.answered = False
            heapq.heappush(self._waiting, (pending.seq, id))
        self._window = 1
        self.retry_at_s = max(self.retry_at_s, at_s)

    def take(self, now_s: float) -> list[bytes]:
        """What may be sent now."""
        ready = [id for id, at_s in self._urgent.items() if at_s <= now_s]
        for id in ready:
            del self._urgent[id]
        self._in_flight.update(ready)
        texts = [self._pending[id].text for id in ready]
        if now_s < self.retry_at_s:
            return texts
        self.retry_at_s = -math.inf
        while self._waiting and len(self._in_flight) < self._window:
            _, id = heapq.heappop(self._waiting)
            self._in_flight.add(id)
            texts.append(self._pending[id].text)
        return texts
