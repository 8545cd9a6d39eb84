"""Recorded histories, right and then spoiled."""

from __future__ import annotations

from collections.abc import Callable

from realtime.client_events import Via
from realtime.drills.history import History, Seen
from realtime.kinds import KINDS
from realtime.roles import ROLES

ROOM = "rose"
ROLES_HERE = ("planner", "vendor", "guest", "display")
Row = tuple[int, int, int, int]
"""A sight: number of the message, offset, prev, via."""


def sees(role: str, kind: str) -> bool:
    return bool(KINDS[kind].audience & ROLES[role])


def play(kinds: list[str], joined_at: list[int] | None = None, history: History | None = None) -> History:
    """A room where everything went right: `kinds` were said, everybody saw what was theirs, some joined later."""
    history = History() if history is None else history
    for n, kind in enumerate(kinds, 1):
        history.sent(ROOM, "planner-0", f"id{n}", kind, float(n))
        history.answered(ROOM, "planner-0", f"id{n}", offset=n)
    for k, role in enumerate(ROLES_HERE):
        seen = history.watch(ROOM, f"{role}-{k}", role)
        start = joined_at[k] if joined_at else 0
        visible = [n for n, kind in enumerate(kinds, 1) if sees(role, kind)]
        prev = max((n for n in visible if n <= start), default=0)
        seen.mark(prev, snapshot=True)
        for n in visible:
            if n > start:
                seen.sight(history.ref(ROOM, "planner-0", f"id{n}", kinds[n - 1]), n, prev, Via.LIVE)
                prev = n
        seen.mark(prev, snapshot=False)
    return history


def rebuilt(seen: Seen, change: Callable[[list[Row]], list[Row]]) -> None:
    """What this member was shown, changed."""
    rows = list(zip(seen.refs, seen.offsets, seen.prevs, seen.vias, strict=True))
    for column in (seen.refs, seen.offsets, seen.prevs, seen.vias):
        del column[:]
    for ref, offset, prev, via in change(rows):
        seen.sight(ref, offset, prev, via)
