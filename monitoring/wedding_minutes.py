"""One record per wedding and minute, all its workers together: what the day report is made of. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from monitoring.day_report import Minute
from monitoring.last_said import LastSaid
from realtime.fence import fenced
from realtime.histogram import Buckets, added
from realtime.report import WeddingReport, WorkerReport

MINUTE_S = 60
NOTHING = WeddingReport({})


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
        self._said = LastSaid()

    def step(self, reports: Sequence[WorkerReport], now: datetime) -> list[tuple[str, Minute]]:
        """[(wedding, its finished minute)]. A minute that was seen for less than half of its seconds is no record: what was
        counted in it counts with the next one, how many were there does not."""
        minute = int(now.timestamp()) // MINUTE_S
        self._said.look(now.timestamp())
        done: list[tuple[str, Minute]] = []
        if minute != self._minute:
            if self._rounds >= MINUTE_S / 2:
                done = [(name, self._finished(kept)) for name, kept in self._sums.items()]
                self._sums = {}
            for kept in self._sums.values():
                kept.people = {}
            self._minute, self._rounds = minute, 0
        self._rounds += 1
        for report in reports:
            last = self._said.before(report)
            for name, wedding in report.weddings.items():
                if fenced(name):
                    continue
                kept = self._sums.setdefault(name, _Sum())
                for role, people in wedding.connections.items():
                    kept.people[role] = kept.people.get(role, 0) + people
                before = last.weddings.get(name, NOTHING) if last is not None else wedding
                if before.deliveries_total > wedding.deliveries_total:
                    before = NOTHING  # the worker has opened the room again
                kept.add(wedding, before)
        self._said.keep(reports, now.timestamp())
        return done

    def _finished(self, kept: _Sum) -> Minute:
        assert self._minute is not None
        at = datetime.fromtimestamp(self._minute * MINUTE_S, UTC)
        people = {role: round(count / self._rounds, 2) for role, count in kept.people.items()}
        return Minute(at, people, kept.deliveries, kept.replayed, kept.faults, kept.latency)
