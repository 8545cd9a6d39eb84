"""What each member may still say in this process, over all its connections and requests."""

from __future__ import annotations

from collections import OrderedDict

from realtime.clock import Clock
from realtime.config import RealtimeConfig
from realtime.errors import RateLimited
from realtime.messages import Sender
from realtime.policy.limits import EMERGENCIES, Rate, TokenBucket, rate_of
from realtime.roles import ROLES

PAID_MAX = 8
"""Emergencies of a member that are known by their ids: as many as it may have said, and ended, in the time in which one is said
again."""
MEMBERS_MAX = 50_000
"""Kept at once, about 10 MB: several times those that a worker holds. Beyond it the longest known begins anew."""


class Allowance:
    """One member's. `paid`: ids of its last emergencies."""

    __slots__ = ("emergencies", "paid", "usual")

    def __init__(self, rate: Rate, now_s: float) -> None:
        self.usual = TokenBucket(rate, now_s)
        self.emergencies: TokenBucket | None = None
        self.paid: tuple[str, ...] = ()

    def full(self, now_s: float) -> bool:
        """Whether nothing would be lost without it."""
        return self.usual.full(now_s) and (self.emergencies is None or self.emergencies.full(now_s))


class Allowances:
    """Those that are not full, by member; who is not here has all of it. Its length is how many are kept."""

    def __init__(self, config: RealtimeConfig, clock: Clock) -> None:
        self._clock = clock
        self._rates = {name: rate_of(role, config) for name, role in ROLES.items()}
        self._kept: OrderedDict[tuple[str, str, str], Allowance] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def pay(self, room: str, sender: Sender) -> None:
        """Take what one message costs. Raises RateLimited, saying when it can be paid."""
        now_s = self._clock.monotonic()
        if (mine := self._of(room, sender, now_s)) is not None:
            _take(mine.usual, now_s)

    def pay_emergency(self, room: str, sender: Sender, id: str, *, ends: bool = False) -> None:
        """The same for an emergency, which has an allowance of its own. One that was paid and is said again, since its sender
        did not hear the answer, costs what any message does; and so does what `ends` one."""
        now_s = self._clock.monotonic()
        if (mine := self._of(room, sender, now_s)) is None:
            return
        if id in mine.paid:
            _take(mine.usual, now_s)
            return
        if mine.emergencies is None:
            mine.emergencies = TokenBucket(EMERGENCIES, now_s)
        _take(mine.usual if ends else mine.emergencies, now_s)
        mine.paid = (*mine.paid, id)[-PAID_MAX:]

    def _of(self, room: str, sender: Sender, now_s: float) -> Allowance | None:
        """None: without a limit."""
        key = room, sender.member, sender.role
        mine = self._kept.get(key)
        if mine is None and (rate := self._rates[sender.role]) is not None:
            self._forget(now_s)
            mine = self._kept[key] = Allowance(rate, now_s)
        return mine

    def _forget(self, now_s: float) -> None:
        """Let go of the full ones. Two are looked at for each that comes: in turn, so all of them are, and none takes long."""
        for _ in range(min(2, len(self._kept))):
            key, oldest = self._kept.popitem(last=False)
            if not oldest.full(now_s) and len(self._kept) + 1 < MEMBERS_MAX:
                self._kept[key] = oldest


def _take(bucket: TokenBucket, now_s: float) -> None:
    if (wait_s := bucket.take(now_s)) > 0:
        raise RateLimited(retry_after_ms=int(wait_s * 1_000) + 1)
