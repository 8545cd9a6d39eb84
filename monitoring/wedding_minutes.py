"""One record per wedding and minute, all its workers together: what the day report is made of. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from monitoring.day_report import Minute
from realtime.fence import fenced
from realtime.histogram import Buckets, added
from realtime.report import WeddingReport, WorkerReport

MINUTE_S = 60


class _Sum:
    """A minute that is not over."""

    def __init__(self) -> None:
        self.people: dict[str, int] = {}
        self.deliveries = self.replayed = self.faults = 0
        self.latency: Buckets = {}

    def add(self, now: WeddingReport, before: WeddingReport) -> None:
        self.deliveries += now.deliveries_total - before.deliveries_total
        self.replayed += now.replayed_total - before.replayed_total
        self.faults += now.faults_total - before.faults_total
        for index, count in added(now.latency, before.latency).items():
            self.latency[index] = self.latency.get(index, 0) + count


class WeddingMinutes:
    """Adds up reports, once a second; a minute comes out when it is over."""

    def __init__(self) -> None:
        self._minute: int | None = None
        self._rounds = 0
        self._sums: dict[str, _Sum] = {}
        self._last: dict[tuple[str, str], WeddingReport] = {}
        self._workers: set[str] = set()
        self._began_s = float("inf")

    def step(self, reports: Sequence[WorkerReport], now: datetime) -> list[tuple[str, Minute]]:
        """[(wedding, its finished minute)]. A minute that was seen for less than half of its seconds is no record: what was
        counted in it counts with the next one, how many were there does not."""
        minute = int(now.timestamp()) // MINUTE_S
        self._began_s = min(self._began_s, now.timestamp())
        done: list[tuple[str, Minute]] = []
        if minute != self._minute:
            if self._rounds >= MINUTE_S / 2:
                done = [(name, self._finished(kept)) for name, kept in self._sums.items()]
                self._sums = {}
            for kept in self._sums.values():
                kept.people = {}
            self._minute, self._rounds = minute, 0
        self._rounds += 1
        last: dict[tuple[str, str], WeddingReport] = {}
        for report in reports:
            for name, wedding in report.weddings.items():
                if fenced(name):
                    continue
                kept = self._sums.setdefault(name, _Sum())
                for role, people in wedding.connections.items():
                    kept.people[role] = kept.people.get(role, 0) + people
                before = self._last.get((report.worker, name))
                if before is None and report.worker not in self._workers and report.started_s < self._began_s:
                    before = wedding  # it counted before anybody looked
                if before is None or before.deliveries_total > wedding.deliveries_total:
                    before = WeddingReport({})  # the worker has just opened the room, or opened it again
                kept.add(wedding, before)
                last[report.worker, name] = wedding
        self._last, self._workers = last, {report.worker for report in reports}
        return done

    def _finished(self, kept: _Sum) -> Minute:
        assert self._minute is not None
        at = datetime.fromtimestamp(self._minute * MINUTE_S, UTC)
        people = {role: round(count / self._rounds, 2) for role, count in kept.people.items()}
        return Minute(at, people, kept.deliveries, kept.replayed, kept.faults, kept.latency)
