"""How much a member may send, and anybody over HTTP. PURE: a token bucket and the numbers for each role."""

from __future__ import annotations

from dataclasses import dataclass

from realtime.config import RealtimeConfig
from realtime.roles import Role


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages per second in the long run, and how many at once."""

    per_s: float
    burst: float


EMERGENCIES = Rate(3 / 300, 3)
"""P0 per person: three in five minutes; the all-clear of a known one is none of them."""
STRIKES_MAX = 50
"""Messages beyond the rate in a row before the connection is closed: a client that waits as told never has two."""
BODY_MAX_BYTES = 65_536
"""Of an HTTP request: a publication of who may say most, and far more than a form of the pages."""
UPLOAD_MAX_BYTES = 5_000_000
"""Of one to the admin: an import with the largest table both pasted and as a file; who has a larger file is told so."""


def rate_of(role: Role, config: RealtimeConfig) -> Rate | None:
    """How much this role may send, None without a limit (`load`, which exists only outside production; ops.md 6.2).

    A phone back from an hour offline sends its outbox at this rate; the client waits as long as it is told.
    """
    if role & (Role.GUEST | Role.DISPLAY):
        return Rate(config.guest_rate_per_s, 10)
    if role & (Role.COUPLE | Role.VENDOR):
        return Rate(config.crew_rate_per_s, 20)
    return Rate(config.planner_rate_per_s, 60) if role & (Role.PLANNER | Role.STAFF) else None


def message_limit(role: Role, config: RealtimeConfig) -> int:
    """The largest message this role may send, bytes."""
    if role & (Role.GUEST | Role.DISPLAY):
        return config.guest_message_bytes
    return config.crew_message_bytes if role & (Role.VENDOR | Role.COUPLE) else config.planner_message_bytes


def body_limit(path: bytes) -> int:
    """The largest body of an HTTP request for this path, bytes."""
    return UPLOAD_MAX_BYTES if path.startswith(b"/admin/") else BODY_MAX_BYTES


class TokenBucket:
    """Refills with time, pays one token a message. `take` returns the seconds to wait, 0 when the message may pass."""

    __slots__ = ("_at_s", "_rate", "_tokens")

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        rate = self._rate
        self._tokens = min(rate.burst, self._tokens + max(0.0, now_s - self._at_s) * rate.per_s)
        self._at_s = max(self._at_s, now_s)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / rate.per_s

    def full(self, now_s: float) -> bool:
        """Whether all is there again, as in a new one."""
        return self._tokens + max(0.0, now_s - self._at_s) * self._rate.per_s >= self._rate.burst
