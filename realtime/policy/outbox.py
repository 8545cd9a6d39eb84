"""What waits for one member that is behind. PURE: lanes, bounds, and a verdict on everything that is offered.

Durable publications of a wedding never overtake each other, so they share one lane, `stream`, whatever their priority. Only an
emergency may send a copy ahead, in `urgent`. Ephemeral ones wait in `keyed`, where the latest of a key wins, or in `bulk`,
where the oldest goes first when there is no room.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, NamedTuple

FLEETING_MAX_BYTES = 32_768
"""For all ephemeral publications together: some seconds of a lively room. What is older than that is of no use to anybody."""


class Verdict(Enum):
    """What became of something offered."""

    QUEUED = "queued"
    COALESCED = "coalesced"
    SHED = "shed"
    TOO_SLOW = "too slow"


class Waiting(NamedTuple):
    """A text and what the owner wants back with it (`tag`)."""

    text: bytes
    tag: Any


class Outbox:
    """Bounded lanes. `n_bytes` never exceeds `stream_max` + FLEETING_MAX_BYTES, `last` aside: beyond it the verdict is
    TOO_SLOW or SHED."""

    __slots__ = ("_bulk", "_fleeting_bytes", "_keyed", "_stream", "_stream_bytes", "_stream_max", "_urgent")

    def __init__(self, stream_max: int) -> None:
        self._stream_max = stream_max
        self._urgent: deque[Waiting] = deque()
        self._stream: deque[Waiting] = deque()
        self._keyed: dict[tuple[str, str], Waiting] = {}
        self._bulk: deque[Waiting] = deque()
        self._stream_bytes = 0
        self._fleeting_bytes = 0

    @property
    def n_bytes(self) -> int:
        """What waits, text bytes."""
        return self._stream_bytes + self._fleeting_bytes

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._urgent or self._stream or self._keyed or self._bulk)

    def stream(self, text: bytes, tag: Any = None) -> Verdict:
        """Something durable, or an answer: kept in order."""
        return self._admit(self._stream, text, tag)

    def ahead(self, text: bytes, tag: Any = None) -> Verdict:
        """An emergency without a place in the stream, or a copy of one: before whatever waits."""
        return self._admit(self._urgent, text, tag)

    def _admit(self, lane: deque[Waiting], text: bytes, tag: Any) -> Verdict:
        if self._stream_bytes + len(text) > self._stream_max:
            return Verdict.TOO_SLOW
        lane.append(Waiting(text, tag))
        self._stream_bytes += len(text)
        return Verdict.QUEUED

    def last(self, text: bytes) -> None:
        """After everything, and admitted whatever waits: a goodbye, or what brings a newcomer up to date."""
        self._stream.append(Waiting(text, None))
        self._stream_bytes += len(text)

    def fleeting(self, text: bytes, key: tuple[str, str] | None, tag: Any = None) -> Verdict:
        """Something ephemeral. With a key it takes the place of what waits under it; SHED when there is no room for it."""
        verdict = Verdict.QUEUED
        if key is not None and key in self._keyed:
            # Popped, not overwritten: the newest goes to the end, so that what is shed is the oldest.
            self._fleeting_bytes -= len(self._keyed.pop(key).text)
            verdict = Verdict.COALESCED
        while self._bulk and self._fleeting_bytes + len(text) > FLEETING_MAX_BYTES:
            self._fleeting_bytes -= len(self._bulk.popleft().text)
            verdict = Verdict.SHED
        if self._fleeting_bytes + len(text) > FLEETING_MAX_BYTES:
            return Verdict.SHED
        if key is not None:
            self._keyed[key] = Waiting(text, tag)
        else:
            self._bulk.append(Waiting(text, tag))
        self._fleeting_bytes += len(text)
        return verdict

    def take(self, about_bytes: int) -> list[Waiting]:
        """The next to be sent: urgent, stream, keyed, bulk. Ends with the text that reaches `about_bytes`."""
        taken: list[Waiting] = []
        while self and about_bytes > 0:
            if self._urgent or self._stream:
                waiting = (self._urgent or self._stream).popleft()
                self._stream_bytes -= len(waiting.text)
            else:
                waiting = self._keyed.pop(next(iter(self._keyed))) if self._keyed else self._bulk.popleft()
                self._fleeting_bytes -= len(waiting.text)
            about_bytes -= len(waiting.text)
            taken.append(waiting)
        return taken
