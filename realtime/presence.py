"""Who is here. PURE: values and times in, news out; the hub delivers it and carries rosters between processes.

A member counts as here while any process holds a connection of theirs; each process tells its own members, by what it knows.
Dropping and returning within the grace time is not announced to anybody, so that a flaky Wi-Fi does not make names flicker.
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
        return count == 0 and not was_leaving and not self.elsewhere(member)

    def depart(self, member: Sender, now_s: float, *, on_purpose: bool, return_s: float = 0.0) -> None:
        """A connection of `member` closed here; on purpose needs no grace. Who was told to take longer than `SHORT_S` for the
        way back has so much more: a storm must not make everybody's name flicker, and keep the server busy with that."""
        _, count = self._here.get(member.member, (member, 1))
        if count > 1:
            self._here[member.member] = (member, count - 1)
            return
        self._here.pop(member.member, None)
        self._leaving[member.member] = (member, now_s if on_purpose else now_s + self._grace_s + max(0.0, return_s - SHORT_S))

    def expire(self, now_s: float) -> tuple[list[Sender], list[Sender]]:
        """Who is gone for good by now: those who were here, for every process to hear, and those who were elsewhere, of which
        the others find out by themselves."""
        if not self._remote and not self._leaving:
            return [], []
        silent = {process: roster for process, roster in self._remote.items() if roster[0] <= now_s}
        for process in silent:
            del self._remote[process]
        over = [member for member, at_s in self._leaving.values() if at_s <= now_s]
        for member in over:
            del self._leaving[member.member]
        mine = {member.member: member for member in over if not self.elsewhere(member)}
        theirs = {id: member for _, roster in silent.values() for id, member in roster.items()}
        return list(mine.values()), [member for id, member in theirs.items() if id not in mine and self._nowhere(member)]

    def roster(self) -> list[Sender]:
        """Who is connected to this process, those within their grace time included."""
        return [m for m, _ in self._here.values()] + [m for m, _ in self._leaving.values()]

    def merge(self, process: str, roster: list[Sender], now_s: float) -> tuple[list[Sender], list[Sender]]:
        """Another process says who is connected to it; believed until its time to live is over. Gives who is news to this
        process, and who is nowhere any more."""
        now = {member.member: member for member in roster}
        _, before = self._remote.pop(process, (0.0, {}))
        came = [member for id, member in now.items() if id not in before and self._nowhere(member)]
        self._remote[process] = (now_s + self._roster_ttl_s, now)
        return came, [member for id, member in before.items() if id not in now and self._nowhere(member)]

    def everybody(self) -> list[Sender]:
        """Everyone here or elsewhere, once each, by member id."""
        known = {m.member: m for _, roster in self._remote.values() for m in roster.values()}
        known |= {member.member: member for member in self.roster()}
        return [known[member] for member in sorted(known)]

    def elsewhere(self, member: Sender) -> bool:
        """Whether another process holds a connection of `member`, as far as is known."""
        return any(member.member in roster for _, roster in self._remote.values())

    def _nowhere(self, member: Sender) -> bool:
        return member.member not in self._here and member.member not in self._leaving and not self.elsewhere(member)
