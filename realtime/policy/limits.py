"""How much a member may send. PURE: a token bucket and the numbers for each role."""

from __future__ import annotations

from dataclasses import dataclass

from realtime.config import RealtimeConfig
from realtime.roles import Role


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages per second in the long run, and how many at once."""

    per_s: float
    burst: float


# ops.md 6.2. A phone back from an hour offline sends its outbox at this rate; the client waits as long as it is told.
RATES: dict[Role, Rate] = {
    Role.PLANNER: Rate(20, 60),
    Role.STAFF: Rate(20, 60),
    Role.COUPLE: Rate(5, 20),
    Role.VENDOR: Rate(5, 20),
    Role.GUEST: Rate(1, 10),
    Role.DISPLAY: Rate(1, 10),
}
EMERGENCIES = Rate(3 / 300, 3)
"""P0 per person: three in five minutes."""
STRIKES_MAX = 50
"""Messages beyond the rate in a row before the connection is closed: a client that waits as told never has two."""


def message_limit(role: Role, config: RealtimeConfig) -> int:
    """The largest message this role may send, bytes."""
    if role & (Role.GUEST | Role.DISPLAY):
        return config.guest_message_bytes
    return config.crew_message_bytes if role & (Role.VENDOR | Role.COUPLE) else config.planner_message_bytes


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
