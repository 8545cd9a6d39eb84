"""What each worker said last: what its counters are compared with. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from realtime.report import WorkerReport

ABSENT_S = 900.0
"""A worker that hangs, or a registry that lost its data: who is back within this goes on where it was."""
ABSENT_MAX = 200
"""A worker that starts and dies every two seconds leaves many behind."""


class LastSaid:
    """The last report of every worker, also of those that are absent for now. `now_s`: UTC seconds."""

    def __init__(self) -> None:
        self._last: dict[str, WorkerReport] = {}
        self._seen_s: dict[str, float] = {}
        self._since_s: float | None = None

    def look(self, now_s: float) -> None:
        """Somebody looks: whoever starts from now on is known from its start."""
        if self._since_s is None:
            self._since_s = now_s

    def before(self, report: WorkerReport) -> WorkerReport | None:
        """What to compare a report with: the last one, or one of zeros when the worker is new. None: it counted before
        anybody looked."""
        last = self._last.get(report.worker)
        if last is None and self._since_s is not None and report.started_s >= self._since_s:
            return nothing_yet(report)
        return last

    def keep(self, reports: Sequence[WorkerReport], now_s: float) -> None:
        """These are the last ones now. Who is absent for too long is forgotten, and nobody as old is taken for new."""
        for report in reports:
            self._last[report.worker] = report
            self._seen_s[report.worker] = now_s
        if len(self._last) == len(reports):
            return
        absent = sorted((seen_s, worker) for worker, seen_s in self._seen_s.items() if seen_s != now_s)
        old = sum(now_s - seen_s > ABSENT_S for seen_s, _ in absent)
        for _, worker in absent[: max(old, len(absent) - ABSENT_MAX)]:
            del self._seen_s[worker]
            self._since_s = max(self._since_s or 0.0, self._last.pop(worker).started_s + 1.0)


def nothing_yet(report: WorkerReport) -> WorkerReport:
    """What the worker of this report would have said when it started."""
    return WorkerReport(
        report.worker, report.slot, report.host, report.pid, report.started_s, report.started_s, report.state, gaps_total=0
    )
