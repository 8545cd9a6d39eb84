"""The drill `slow-clients`: a few phones stop reading while everybody else goes on.

Injection: one in twenty stops reading soon after the start, with a tiny receive buffer, and reads again shortly before the end.
Invariant: the server's memory does not grow with them, the others notice nothing, and afterwards they have everything durable.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import psutil
from msgspec import Struct

from realtime.clock import Clock
from realtime.drills.history import Latencies
from realtime.drills.load import GOAL_MS, LoadDrill, Options, Progress, Result
from realtime.drills.workloads import Planned
from realtime.kinds import Priority
from realtime.messages import Sender

SHARE = 20
"""One in so many is stuck."""
STALL_AT, READ_AT = 0.15, 0.9
CHAT_BYTES = 1_950
CHAT_PER_S, DELIVERIES_PER_S = 30, 16_000
"""In each room: what a stuck phone is owed passes the kernel's buffer and its outbox within seconds. With many rooms less each,
so that the generator keeps up; then it takes longer."""
PLANNER_SHARE = 3
"""Planners may say more than the others: so much of the chat is theirs."""
_SHARES = {"planner": PLANNER_SHARE, "couple": 1, "vendor": 1}
RSS_EVERY_S = 0.25
GROWTH_MAX = 0.10
NOISE_MS = 20.0
"""Two measurements of the same p99 on one machine differ by so much, and by more where they are far below the promise."""


class SlowResult(Struct):
    """`load`: the verdict on everybody's history. Memory in bytes, worker RSS. The p99 are those of ephemeral kinds: they go
    the same way to the sockets, and do not depend on the disk's mood."""

    load: Result
    stuck: int
    sent_away: int
    rss_before_bytes: int
    rss_most_bytes: int
    before_p99_ms: float | None
    during_p99_ms: float | None
    passed: bool = False
    reason: str = ""


class SlowClientsDrill(LoadDrill):
    """A load drill in which some do not read. `pid`: of the worker, to watch its memory."""

    def __init__(
        self,
        options: Options,
        url: str,
        ticket: Callable[[str, Sender], str],
        clock: Clock,
        progress: Progress,
        pid: int,
    ) -> None:
        super().__init__(options, url, ticket, clock, progress)
        self._worker = psutil.Process(pid)
        self._victims = [(n, m) for n, room in enumerate(self.plan) for m, role in enumerate(room.roles) if role == "guest"]
        self._victims = self._victims[:: max(1, len(self._victims) * SHARE // options.connections)]
        self._rss_before = self._rss_most = 0
        self._stalled, self._rss_due_s = False, 0.0
        self._before: dict[Priority, Latencies] = {}
        self._connections_before = 0

    async def run_slow(self) -> SlowResult:
        """Play, stall, judge."""
        load = await self.run()
        stuck = [self.clients[n][m].session for n, m in self._victims]
        result = SlowResult(
            load=load,
            stuck=len(stuck),
            sent_away=sum(session.connections for session in stuck) - self._connections_before,
            rss_before_bytes=self._rss_before,
            rss_most_bytes=self._rss_most,
            before_p99_ms=self._before[Priority.P3].quantile_ms(0.99),
            during_p99_ms=self.history.latencies[Priority.P3].quantile_ms(0.99),
        )
        result.reason = verdict(result)
        result.passed = not result.reason
        return result

    def _schedule(self) -> Iterator[Planned]:
        # Nobody else loses a connection: who comes back was sent away.
        return (planned for planned in super()._schedule() if planned.kind)

    def _extra(self) -> Iterator[Planned]:
        duration_s = self.options.duration_s
        yield from heapq.merge(self._turns(duration_s), self._chat(duration_s), key=lambda planned: planned.t_s)

    def _turns(self, duration_s: float) -> Iterator[Planned]:
        for share, kind in ((STALL_AT, "stall"), (READ_AT, "read")):
            yield from (Planned(duration_s * share, n, m, kind) for n, m in self._victims)

    def _chat(self, duration_s: float) -> Iterator[Planned]:
        speakers = [[m for m, role in enumerate(room.roles) for _ in range(_SHARES.get(role, 0))] or [0] for room in self.plan]
        per_s = min(CHAT_PER_S, DELIVERIES_PER_S / self.options.connections)
        for k in range(int(duration_s * per_s)):
            for n, crew in enumerate(speakers):
                yield Planned(k / per_s, n, crew[k % len(crew)], "chat.guests", {"text": "x" * CHAT_BYTES})

    def _do(self, planned: Planned, due_s: float) -> None:
        if planned.kind not in ("stall", "read"):
            super()._do(planned, due_s)
        elif planned.kind == "stall":
            self._stall(planned)
        else:
            self._stalled = False
            self.clients[planned.room][planned.member].stall(False)
        if self._stalled and due_s >= self._rss_due_s:
            self._rss_due_s = due_s + RSS_EVERY_S
            self._rss_most = max(self._rss_most, self._rss())

    def _stall(self, planned: Planned) -> None:
        client = self.clients[planned.room][planned.member]
        if not self._rss_before:
            self._rss_before, self._stalled = self._rss(), True
            self._before, self.history.latencies = self.history.latencies, {priority: Latencies() for priority in Priority}
        self._connections_before += client.session.connections
        self._recorders[self._index(planned)].timed = False
        client.stall(True)

    def _index(self, planned: Planned) -> int:
        return sum(len(room.roles) for room in self.plan[: planned.room]) + planned.member

    def _rss(self) -> int:
        return int(self._worker.memory_info().rss)


def verdict(result: SlowResult) -> str:
    """Why the drill failed, "" when it passed."""
    reasons = [result.load.reason] if result.load.reason else []
    grown = result.rss_most_bytes / max(1, result.rss_before_bytes) - 1
    if grown > GROWTH_MAX:
        reasons.append(f"the worker's memory grew by {grown:.0%}, more than {GROWTH_MAX:.0%}")
    if result.sent_away < result.stuck:
        reasons.append(f"only {result.sent_away} of {result.stuck} that do not read were sent away and came back")
    before, during = result.before_p99_ms, result.during_p99_ms
    if before is None or during is None:
        reasons.append("nothing was measured")
    elif during > max(GOAL_MS, 2 * before + NOISE_MS):
        reasons.append(f"p99 of the others went from {before:.1f} to {during:.1f} ms")
    return "\n".join(reasons)
