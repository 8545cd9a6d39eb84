"""`drill slow-clients`: a few phones stop reading while everybody else goes on.

Injection: one in twenty stops reading soon after the start, with a tiny receive buffer, and reads again shortly before the end.
Invariant: the workers' memory does not grow with them, the others notice nothing, and afterwards they have everything durable.
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from realtime.drills.faults import FaultDrill
from realtime.drills.workloads import Planned
from realtime.histogram import Histogram
from realtime.kinds import Priority

SHARE = 20
"""One in so many is stuck."""
STALL_AT, READ_AT = 0.15, 0.9
CHAT_BYTES = 1_950
CHAT_PER_S, DELIVERIES_PER_S = 30, 16_000
"""In each room: what a stuck phone is owed passes the kernel's buffer and its outbox within seconds. With many rooms less each,
so that the generator keeps up; then it takes longer."""
SHARES = {"planner": 3, "couple": 1, "vendor": 1}
"""Who says it: planners may say more than the others."""
POLL_S = 0.25
GROWTH_MAX = 0.10
P3_GOAL_MS = 500.0
"""What is promised for ephemeral kinds (ops.md 4.3)."""


class SlowClientsDrill(FaultDrill):
    name = "slow-clients"
    injects = "one phone in twenty stops reading, and reads again shortly before the end"
    invariant = (
        "0/0/0; workers' memory within 10 %, the others' p99 unchanged; who does not read is sent away and misses nothing"
    )
    recovery = "at the next connection, from the journal"
    minutes = 0.3

    async def inject(self) -> None:
        duration_s = self.options.duration_s
        guests = [(n, m) for n, room in enumerate(self.plan) for m, role in enumerate(room.roles) if role == "guest"]
        victims = guests[:: max(1, len(guests) * SHARE // self.options.connections)]
        clients = [self.clients[n][m] for n, m in victims]
        workers = [psutil.Process(row["pid"]) for row in (await self.fleet())["workers"]]
        await self._clock.sleep(STALL_AT * duration_s)
        connections = sum(client.session.connections for client in clients)
        before = most = _rss(workers)
        self.injected(f"{len(clients)} phones stop reading")
        quick, self.history.latencies = self.history.latencies, {priority: Histogram() for priority in Priority}
        for n, m in victims:
            self._recorders[sum(len(room.roles) for room in self.plan[:n]) + m].timed = False
            self.clients[n][m].stall(True)
        for _ in range(int((READ_AT - STALL_AT) * duration_s / POLL_S)):
            await self._clock.sleep(POLL_S)
            most = max(most, _rss(workers))
        # What is ephemeral goes the same way to the sockets, and does not depend on the mood of the disk.
        meanwhile = self.history.latencies[Priority.P3].quantile_ms(0.99)
        for client in clients:
            client.stall(False)
        self.restored("they read again")
        self._stuck = [(client, connections) for client in clients]
        self.facts |= {
            "stuck": len(clients),
            "rss_before_bytes": before,
            "rss_most_bytes": most,
            "others_p99_before_ms": quick[Priority.P3].quantile_ms(0.99),
            "others_p99_meanwhile_ms": meanwhile,
        }

    def promises(self) -> list[str]:
        connections = sum(client.session.connections for client, _ in self._stuck)
        self.facts["sent_away"] = sent_away = connections - self._stuck[0][1]
        before, meanwhile = self.facts["others_p99_before_ms"], self.facts["others_p99_meanwhile_ms"]
        grown = float(self.facts["rss_most_bytes"] or 0) / float(self.facts["rss_before_bytes"] or 1) - 1
        broken = []
        if grown > GROWTH_MAX:
            broken.append(f"the workers' memory grew by {grown:.0%}, more than {GROWTH_MAX:.0%}")
        if sent_away < len(self._stuck):
            broken.append(f"only {sent_away} of {len(self._stuck)} that do not read were sent away and came back")
        if before is None or meanwhile is None:
            broken.append("nothing was measured: play for longer")
        elif float(meanwhile) > max(P3_GOAL_MS, 2 * float(before)):
            broken.append(f"p99 of the others went from {float(before):.1f} to {float(meanwhile):.1f} ms")
        return broken

    def _extra(self) -> Iterator[Planned]:
        """Chat that is long enough to fill a buffer that nobody empties."""
        speakers = [[m for m, role in enumerate(room.roles) for _ in range(SHARES.get(role, 0))] or [0] for room in self.plan]
        per_s = min(CHAT_PER_S, DELIVERIES_PER_S / self.options.connections)
        for k in range(int(self.options.duration_s * per_s)):
            for n, crew in enumerate(speakers):
                yield Planned(k / per_s, n, crew[k % len(crew)], "chat.guests", {"text": "x" * CHAT_BYTES})


def _rss(workers: list[psutil.Process]) -> int:
    return sum(worker.memory_info().rss for worker in workers)
