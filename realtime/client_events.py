"""What a client tells its application."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from msgspec import Raw, Struct

from realtime.closing import CloseCode
from realtime.errors import BadCredentials, RealtimeError
from realtime.messages import Error, Ok, Pub, Sender, Snapshot, Welcome, encode

Payload = Mapping[str, object] | Struct | bytes | Raw
NOT_LET_IN = (403, CloseCode.BAD_CREDENTIALS, CloseCode.FORBIDDEN)
"""An HTTP status, and what becomes of it for somebody who was in."""


def raw_of(data: Payload) -> Raw:
    """What is published, as JSON."""
    if isinstance(data, Raw):
        return data
    return Raw(data) if isinstance(data, bytes) else Raw(encode(data))


class Refused(RealtimeError):
    """The server refused what was published."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message, field=error.field, retry_after_ms=error.retry_after_ms)
        self.code = error.code


class SentAway(RealtimeError):
    """The server has closed the connection for good. `close_code` and `reason` are what it said."""

    code = "sent_away"

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"{reason or 'The server has closed the connection for good.'} (close code {close_code})")
        self.close_code = close_code
        self.reason = reason


class Via(IntEnum):
    """How a publication reached the application."""

    LIVE = 0
    REPLAY = 1
    PROVISIONAL = 2


class Connected(Struct, frozen=True):
    """Welcomed. `recovered`: what was missed follows, otherwise a snapshot."""

    welcome: Welcome


class SnapshotTaken(Struct, frozen=True):
    """Forget what you showed; this is the state now."""

    snapshot: Snapshot


class Received(Struct, frozen=True, gc=False):
    """Show this publication."""

    pub: Pub
    via: Via


class Confirmed(Struct, frozen=True):
    """The stream's copy of an emergency that was shown before: it has its offset now. Nothing to show."""

    pub: Pub


class CaughtUp(Struct, frozen=True):
    """The replay or the snapshot is complete; from here on everything is live."""

    up_to: int
    recovered: bool
    present: list[Sender]


class Moved(Struct, frozen=True):
    """Another process serves this client from now on; nothing was missed, nothing came twice."""

    up_to: int
    present: list[Sender]


class Gap(Struct, frozen=True):
    """Something between `position` and `offset` is missing; the client reconnects and gets it."""

    position: int
    prev: int
    offset: int


class Settled(Struct, frozen=True):
    """The answer to a publication: `reply` is final."""

    ref: str
    reply: Ok | Error


class Closed(Struct, frozen=True):
    """The connection ended. `retry_in_s` is None when the client stays away; then `reason` says why."""

    code: int
    reason: str
    retry_in_s: float | None

    @property
    def error(self) -> RealtimeError:
        """What somebody hears who asks a client that was sent away."""
        return BadCredentials(self.reason) if self.code in NOT_LET_IN else SentAway(self.code, self.reason)


Event = Connected | SnapshotTaken | Received | Confirmed | CaughtUp | Moved | Gap | Settled | Closed
