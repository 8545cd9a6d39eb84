"""In which order, and how fast, members are asked to go elsewhere. PURE."""

from __future__ import annotations

from realtime.roles import Role

TELL_PER_S = 750.0
"""Half of what one worker admits a second (ops.md 2.4): it has those it serves already to look after."""
TELL_SHARE = 0.5
"""Of the deadline: the rest is for those that were told last."""
COMFORT_S = 15.0
_LAST = (Role.COUPLE, Role.VENDOR, Role.STAFF, Role.PLANNER)


def rank(role: Role) -> int:
    """Lower goes first: guests and displays, then the couple, the vendors, and those who run the day last."""
    return _LAST.index(role) + 1 if role in _LAST else 0


def tell_per_s(members: int, deadline_s: float) -> float:
    """How many to tell a second, so that the last one still has time before the deadline."""
    return max(TELL_PER_S, members / max(0.1, TELL_SHARE * deadline_s))
