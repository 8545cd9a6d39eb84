"""Who is here. PURE: values and times in, announcements out; the hub delivers them and carries rosters between processes.

A member counts as here while any process holds a connection of theirs. Dropping and returning within the grace time is not
announced to anybody, so that a flaky Wi-Fi does not make names flicker.
"""

from __future__ import annotations

from realtime.messages import Sender

SHORT_S = 0.5
"""A way back that the grace is meant for (`realtime.policy.returning.QUICKLY_MS`)."""


class Presence:
    """The presence of one room, as one process knows it."""

    def __init__(self, grace_s: float, roster_ttl_s: float) -> None:
        self._grace_s = grace_s
        self._roster_ttl_s = roster_ttl_s
        self._here: dict[str, tuple[Sender, int]] = {}
        self._leaving: dict[str, tuple[Sender, float]] = {}
        self._remote: dict[str, tuple[float, dict[str, Sender]]] = {}

    def arrive(self, member: Sender) -> bool:
        """A connection of `member` opened here. Whether that is news to the room."""
        _, count = self._here.get(member.member, (member, 0))
        self._here[member.member] = (member, count + 1)
        was_leaving = self._leaving.pop(member.member, None) is not None
        return count == 0 and not was_leaving and not self._elsewhere(member.member)

    def depart(self, member: Sender, now_s: float, *, on_purpose: bool, return_s: float = 0.0) -> None:
        """A connection of `member` closed here; on purpose needs no grace. Who was told to take longer than `SHORT_S` for the
        way back has so much more: a storm must not make everybody's name flicker, and keep the server busy with that."""
        _, count = self._here.get(member.member, (member, 1))
        if count > 1:
            self._here[member.member] = (member, count - 1)
            return
        self._here.pop(member.member, None)
        self._leaving[member.member] = (member, now_s if on_purpose else now_s + self._grace_s + max(0.0, return_s - SHORT_S))

    def expire(self, now_s: float) -> list[Sender]:
        """Who is gone for good by now, to be announced."""
        if not self._remote and not self._leaving:
            return []
        self._remote = {process: roster for process, roster in self._remote.items() if roster[0] > now_s}
        over = [member for member, at_s in self._leaving.values() if at_s <= now_s]
        for member in over:
            del self._leaving[member.member]
        return [member for member in over if not self._elsewhere(member.member)]

    def roster(self) -> list[Sender]:
        """Who is connected to this process, those within their grace time included."""
        return [m for m, _ in self._here.values()] + [m for m, _ in self._leaving.values()]

    def merge(self, process: str, roster: list[Sender], now_s: float) -> None:
        """Another process says who is connected to it; believed until its time to live is over."""
        self._remote[process] = (now_s + self._roster_ttl_s, {member.member: member for member in roster})

    def everybody(self) -> list[Sender]:
        """Everyone here or elsewhere, once each, by member id."""
        known = {m.member: m for _, roster in self._remote.values() for m in roster.values()}
        known |= {member.member: member for member in self.roster()}
        return [known[member] for member in sorted(known)]

    def _elsewhere(self, member: str) -> bool:
        return any(member in roster for _, roster in self._remote.values())
