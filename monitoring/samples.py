"""From the reports of the workers, once a second, to summaries of ten seconds: each worker, and all together. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from monitoring.heard import Heard
from monitoring.last_said import LastSaid
from monitoring.rollup import RAW, Summary, merge, start_of
from realtime.histogram import Buckets, added
from realtime.report import WorkerReport

TOTAL = ""
"""The scope of all workers together; the others are slots."""
Row = tuple[str, int, Summary]
"""(scope, beginning in UTC seconds, what was seen)."""


def _more(now: dict[str, Buckets], before: dict[str, Buckets]) -> dict[str, Buckets]:
    found = {name: added(buckets, before.get(name, {})) for name, buckets in now.items()}
    return {name: buckets for name, buckets in found.items() if buckets}


def counted(now: WorkerReport, before: WorkerReport) -> Summary:
    """What a worker did between two of its reports."""
    faults = None if now.gaps_total is None else now.gaps_total - (before.gaps_total or 0)
    return Summary(
        publications=sum(now.publications_total.values()) - sum(before.publications_total.values()),
        deliveries=sum(now.deliveries_total.values()) - sum(before.deliveries_total.values()),
        joins=now.joins_total - before.joins_total,
        joins_refused=now.joins_refused_total - before.joins_refused_total,
        shed=sum(now.shed_total.values()) - sum(before.shed_total.values()),
        too_slow=now.too_slow_total - before.too_slow_total,
        faults=faults,
        latency=_more(now.latency, before.latency),
        acked=_more(now.acked, before.acked),
    )


def measured(reports: Sequence[WorkerReport], roles: Mapping[str, int], elapsed_ms: int, counted_ms: int) -> Summary:
    """How these workers, taken together, were for so long, and what they counted in `counted_ms`. `roles`: {role: people}."""
    people = sum(roles.values())
    busy = [report.busy for report in reports if report.busy is not None]
    outbox = sum(report.outbox_bytes for report in reports)
    rss = [report.rss_bytes for report in reports if report.rss_bytes is not None]
    return Summary(
        covered_ms=elapsed_ms,
        counted_ms=counted_ms,
        connections_ms=people * elapsed_ms,
        connections_least=people,
        connections_most=people,
        connections_last=people,
        roles_ms={role: count * elapsed_ms for role, count in roles.items()},
        workers_ms=len(reports) * elapsed_ms,
        workers_least=len(reports),
        workers_most=len(reports),
        weddings_most=len({name for report in reports for name in report.weddings}),
        cpu_us=round(sum(busy) * elapsed_ms * 1_000),
        cpu_known_ms=elapsed_ms if busy else 0,
        busy_most=sum(busy) if busy else None,
        lag_s_most=max((report.lag_s for report in reports if report.lag_s is not None), default=None),
        rss_bytes_most=sum(rss) if rss else None,
        outbox_bytes_ms=outbox * elapsed_ms,
        outbox_bytes_most=outbox,
    )


class Samples:
    """Adds up reports; ten seconds come out when they are over. Counters restart with a worker, `total` with this object."""

    def __init__(self) -> None:
        self.total = Summary()
        """All that was seen so far, all workers together."""
        self._at: datetime | None = None
        self._asked_at: datetime | None = None
        self._start_s = 0
        self.heard = Heard()
        """Who is there, as of the last step."""
        self._said = LastSaid()
        self._open: dict[str, list[Summary]] = {}

    def step(self, reports: Sequence[WorkerReport], now: datetime, wanted: int | None = None) -> list[Row]:
        """The rows of the ten seconds that ended with this step, else none. `wanted`: workers, as the scaler says."""
        now_s = now.timestamp()
        self._said.look(now_s)
        start_s = start_of(now_s, RAW.step_s)
        done: list[Row] = []
        if start_s != self._start_s:
            done = [(scope, self._start_s, merge(seen)) for scope, seen in self._open.items()]
            self._start_s, self._open = start_s, {}
        seen = self._seen(reports, now_s, _ms_since(self._at, now), _ms_since(self._asked_at, now))
        seen[TOTAL] = replace(seen[TOTAL], wanted_last=wanted)
        for scope, summary in seen.items():
            self._open.setdefault(scope, []).append(summary)
        self.total = merge([self.total, seen[TOTAL]])
        self._at = self._asked_at = now
        return done

    def skip(self, now: datetime) -> None:
        """Time up to `now` in which nobody could be asked: it is not covered."""
        self._at = now

    def _seen(self, reports: Sequence[WorkerReport], now_s: float, elapsed_ms: int, counted_ms: int) -> dict[str, Summary]:
        """{scope: what this second brings}."""
        parts: dict[str, list[Summary]] = {}
        for report in reports:
            before = self._said.before(report)
            if before is not None:
                parts.setdefault(report.slot, []).append(counted(report, before))
        self._said.keep(reports, now_s)
        self.heard.step(reports, now_s)
        fresh = self.heard.fresh
        seen = {slot: merge(done) for slot, done in parts.items()}
        total = merge([measured(fresh, self.heard.people, elapsed_ms, counted_ms), *seen.values()])
        for slot in {report.slot for report in fresh}:
            here = [report for report in fresh if report.slot == slot]
            roles = sum((Counter(report.connections) for report in here), Counter[str]())
            seen[slot] = merge([measured(here, roles, elapsed_ms, counted_ms), *([seen[slot]] if slot in seen else [])])
        return seen | {TOTAL: total}


def _ms_since(before: datetime | None, now: datetime) -> int:
    return 0 if before is None else max(0, round((now - before).total_seconds() * 1_000))
