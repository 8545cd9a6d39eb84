"""How many a worker lets in each second, and when the others are to come back. PURE: a token bucket with lanes.

Asked before any work is done for a newcomer. Those who run the day have a part of the bucket to themselves, so that a crowd of
guests does not keep them out; who is sent away gets a moment of its own, so that the crowd does not come back as one.
"""

from __future__ import annotations

from collections.abc import Set

from realtime.roles import Role

BURST_S = 0.5
"""What may come at once: half a second's worth. More would be welcomed late anyway."""
PLANNERS = Role.PLANNER | Role.STAFF
CREW = Role.VENDOR | Role.COUPLE
KEPT_FOR_PLANNERS, KEPT_FOR_CREW = 0.1, 0.3
"""Shares of the burst that the lanes below do not touch."""
KEPT_FOR_THE_DAY = 0.4
"""What weddings that have their day keep to themselves: more than any lane, so that their last guest comes before the planner
of another day. Others are let in as fast, only less of a crowd of them at once."""


class Admission:
    """One worker's. `per_s`: members it can welcome a second."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._tokens = self._burst
        self._at_s = now_s
        self._next_slot_s = 0.0
        self.today: Set[str] | None = None
        """Weddings that have their day now; None: not known, and nobody is put behind anybody."""

    def admit(self, role: Role, now_s: float, wedding: str = "") -> float:
        """0: come in. Otherwise the seconds after which this newcomer is to come back."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = max(self._at_s, now_s)
        if self._tokens >= self._kept_from(role, wedding) + 1:
            self._tokens -= 1
            return 0.0
        # One after the other, no faster than they can be let in.
        self._next_slot_s = max(self._next_slot_s, now_s + 1 / self._per_s) + 1 / self._per_s
        return self._next_slot_s - now_s

    def _kept_from(self, role: Role, wedding: str) -> float:
        lane = 0.0 if role & PLANNERS else KEPT_FOR_PLANNERS if role & CREW else KEPT_FOR_CREW
        another_day = self.today is not None and wedding not in self.today
        kept = self._burst * (lane + (KEPT_FOR_THE_DAY if another_day else 0.0))
        return min(kept, self._burst - 1)  # whoever waits long enough comes in
