"""Is somebody real affected by a drill on the running fleet? PURE: reports of the workers in, a reason to give up out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from realtime.fence import fenced
from realtime.histogram import Buckets, added, merged, quantile_s
from realtime.report import WeddingReport, WorkerReport

WINDOW_S = 10.0
LATE_S = 0.25
"""What the pages call late (ops.md 4.4); the goal itself is 0.1 s."""
WORSE = 2.0
"""So many times what it was before the drill: a fleet that is slow on every day is not made worse by being slow."""
EVENTS_MIN = 20
"""Deliveries in the window; fewer say nothing about a hundredth of them."""
_Place = tuple[str, str]


class Guard:
    """Fed once a second. `begin` says when the drill begins to do harm: what was before is what is compared with."""

    def __init__(self) -> None:
        self._last: dict[_Place, WeddingReport] = {}
        self._workers: set[str] = set()
        self._window: deque[tuple[float, Buckets]] = deque()
        self._before: Buckets = {}
        self._begun = False

    def begin(self) -> None:
        """From now on somebody can be affected."""
        self._begun = True
        self._window.clear()

    def step(self, reports: Iterable[WorkerReport], now_s: float) -> str:
        """Why the drill has to be given up, "" when nobody real is affected as far as can be seen."""
        faults, latency = 0, []
        last: dict[_Place, WeddingReport] = {}
        for report in reports:
            for name, wedding in report.weddings.items():
                if fenced(name):
                    continue
                place = (report.worker, name)
                before = self._last.get(place)
                last[place] = wedding
                if before is None:
                    if report.worker not in self._workers:
                        continue  # a worker that was not looked at yet: what it did before is not of now
                    before = WeddingReport({})
                faults += max(0, wedding.faults_total - before.faults_total)
                latency.append(added(wedding.latency, before.latency))
            self._workers.add(report.worker)
        self._last = last
        return self._judged(faults, merged(latency), now_s)

    def _judged(self, faults: int, latency: Buckets, now_s: float) -> str:
        if not self._begun:
            self._before = merged((self._before, latency))
            return ""
        self._window.append((now_s, latency))
        while self._window[0][0] <= now_s - WINDOW_S:
            self._window.popleft()
        if faults:
            return f"screens of real weddings reported {faults} gaps, doubles or order faults"
        seen = merged(part for _, part in self._window)
        p99_s, usual_s = quantile_s(seen, 0.99), quantile_s(self._before, 0.99)
        if sum(seen.values()) < EVENTS_MIN or p99_s is None:
            return ""
        if p99_s > max(LATE_S, WORSE * (usual_s or 0.0)):
            usual = "nothing was measured before" if usual_s is None else f"it was {usual_s * 1_000:.0f} ms before"
            return f"p99 of real weddings is {p99_s * 1_000:.0f} ms; {usual}"
        return ""


def victim(reports: Iterable[WorkerReport]) -> str | None:
    """The worker that holds the most people of drills, of several the one with the fewest real ones. None: nobody holds any."""
    counts: dict[str, tuple[int, int]] = {}
    for report in reports:
        synthetic = sum(sum(w.connections.values()) for name, w in report.weddings.items() if fenced(name))
        counts[report.worker] = (synthetic, synthetic - sum(report.connections.values()))
    best = max(counts, key=lambda worker: counts[worker], default=None)
    return best if best is not None and counts[best][0] else None
