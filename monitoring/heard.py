"""Who of the workers is there and how many people are, from reports of which one may be late. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from realtime.report import WorkerReport

FRESH_S = 2.5
"""What a worker said longer ago is not how it is: two reports may be late on a busy machine, a third is missing."""

LATE_S = 5.0
"""Between two reports of a worker, or two rounds: with more there was a time in which nobody could be asked."""


def late(report: WorkerReport, before: WorkerReport) -> bool:
    """Whether so much time was between them that their difference says nothing about now."""
    return report.at_s - before.at_s > LATE_S


class Heard:
    """One `step` a second. `now_s`: UTC seconds.

    The people of a worker that is late are still there or, when it has died, may be with another worker already. There are at
    least those that are heard of now, at most those of the late ones beside, and most likely as many as a second ago: so a
    late worker makes no dip, and nobody is counted twice.
    """

    def __init__(self) -> None:
        self.fresh: list[WorkerReport] = []
        """What was said within `FRESH_S`."""
        self.people: dict[str, int] = {}
        """{role: people}."""
        self._news: dict[str, tuple[float, float]] = {}

    def step(self, reports: Sequence[WorkerReport], now_s: float) -> None:
        """Take the reports of this second."""
        news: dict[str, tuple[float, float]] = {}
        now: Counter[str] = Counter()
        late: Counter[str] = Counter()
        self.fresh = []
        for report in reports:
            first_s = now_s if now_s - report.at_s < FRESH_S else report.at_s  # it may be dead since before we began
            at_s, since_s = self._news.get(report.worker, (report.at_s, first_s))
            if at_s != report.at_s:
                since_s = now_s
            news[report.worker] = (report.at_s, since_s)
            if now_s - since_s < FRESH_S:
                self.fresh.append(report)
                (now if since_s == now_s else late).update(report.connections)
        self._news = news
        before = self.people
        self.people = {r: min(max(before.get(r, 0), now[r]), now[r] + late[r]) for r in now | late} if late else dict(now)
