"""How far the devices of a room have said to be. PURE: what members acknowledge in, what the planners are told out."""

from __future__ import annotations

from realtime.kinds import Receipt

TOLD_AT_ONCE = 500
"""Receipts in one message, about 15 KB; in a larger room the rest follows a second later."""

KNOWN_MAX = 10_000
"""Members remembered, ten times the largest wedding seen; beyond it whoever has been silent longest counts as not reached."""


class ReceiptBook:
    """The latest receipt of every member that has acknowledged anything here, and those the planners have not been told."""

    def __init__(self) -> None:
        self._latest: dict[str, Receipt] = {}
        self._news: dict[str, None] = {}
        self.due = False

    def note(self, member: str, offset: int, ms: float | None) -> None:
        """`member` has everything up to `offset`. Of several devices of one person the one that is furthest counts."""
        known = self._latest.get(member)
        if known is None or offset > known.offset:
            self._latest.pop(member, None)
            self._latest[member] = Receipt(member, offset, ms if ms is None else round(ms, 1))
            self._news[member] = None
            if len(self._latest) > KNOWN_MAX:
                forgotten = next(iter(self._latest))
                del self._latest[forgotten]
                self._news.pop(forgotten, None)

    @property
    def untold(self) -> bool:
        """Whether there are news."""
        return bool(self._news)

    def news(self) -> list[Receipt]:
        """What changed since the last call, the oldest first."""
        told = [self._latest[member] for member in list(self._news)[:TOLD_AT_ONCE]]
        for receipt in told:
            del self._news[receipt.member]
        return told

    def all(self) -> list[Receipt]:
        """For somebody who comes now."""
        return list(self._latest.values())
