"""Follows the reports of the workers from second to second: rates, the last minutes, who is gone and where its people went.

No I/O. Costs a walk over the weddings that people are in; everything that is kept is bounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from monitoring.dashboard.status import WEDDINGS_MAX, Latency, Moved, Promise, WeddingStatus, WorkerStatus
from monitoring.dashboard.windows import LIMIT_S, Judged, Minute, Second
from monitoring.heard import FRESH_S, LATE_S, Heard, late
from monitoring.last_said import nothing_yet
from realtime.histogram import Buckets, added, beyond, merged, quantile_s
from realtime.policy.balancing import BOUND, Worker, place
from realtime.policy.fleet_load import as_workers
from realtime.policy.forecast import Booking
from realtime.report import WeddingReport, WorkerReport

MISSED_S = 1.2
GONE_S, GONE_MAX = 120.0, 20
MOVED_S = 600.0
CANARY_LOST_S = 1.0
NOTHING = WeddingReport({})
PRIORITIES = ("P0", "P1", "P2", "P3")
_WORST_FIRST = {"broken": 3, "late": 2, "kept": 1, "quiet": 0}


class Gone(Struct, frozen=True):
    """A worker that is not heard of any more."""

    report: WorkerReport
    since_s: float
    reason: str


class Standing(Struct, frozen=True):
    """What the balancer holds: {wedding: slot} away from their hash, the bound on a worker's load, whether people move."""

    homes: Mapping[str, str] = {}
    bound: float = BOUND
    moving: bool = False


class Watch:
    """One `step` a second. `now_s`: UTC seconds of a clock that does not go back, and is `ahead_s` ahead of the machine's."""

    def __init__(self) -> None:
        self.minute = Minute()
        self.deliveries_per_s: float | None = None
        self.heard = Heard()
        self.present: list[WorkerReport] = []
        self.gone: dict[str, Gone] = {}
        self._began_s: float | None = None
        self._now_s = self._ahead_s = 0.0
        self._last: dict[str, WorkerReport] = {}
        self._seen_s: dict[str, float] = {}
        self._rates: dict[str, float | None] = {}
        self._wedding_rates: dict[tuple[str, str], float] = {}
        self._judged: dict[str, Judged] = {}
        self._where: dict[str, dict[str, int]] = {}
        self._main: dict[str, str] = {}
        self._moved: dict[str, Moved] = {}

    # -- one second ---------------------------------------------------------------------------------------------------

    def step(self, reports: Sequence[WorkerReport], now_s: float, ahead_s: float = 0.0) -> None:
        """Take the reports of this second."""
        if self._began_s is None:
            self._began_s = now_s
        span_s = now_s - self._now_s
        span_s = span_s if 0.0 < span_s <= LATE_S else 0.0
        self._now_s, self._ahead_s = now_s, ahead_s
        news: list[tuple[WorkerReport, WorkerReport | None]] = []
        for report in reports:
            before = self._last.get(report.worker)
            if before is None or before.at_s != report.at_s:
                self._seen_s[report.worker], self._last[report.worker] = now_s, report
                news.append((report, before))
        self.heard.step(reports, now_s)
        self._part(reports)
        self._add_up(news, span_s)
        self._judge(news)
        self._follow()

    def _part(self, reports: Sequence[WorkerReport]) -> None:
        """Who is present and who is gone. One that misses a report while another stands in its place is gone at once; in a
        deploy both report for a while."""
        now_s, here = self._now_s, {report.worker: report for report in reports}
        newest = {r.slot: r for r in sorted(here.values(), key=lambda r: r.started_s)}
        self.present = []
        for worker, report in self._last.items():
            silent_s = now_s - self._seen_s[worker]
            replaced = report.slot in newest and newest[report.slot].worker != worker
            if worker in here and silent_s < (MISSED_S if replaced else FRESH_S):
                self.present.append(here[worker])
                self.gone.pop(worker, None)
                continue
            reason = "it has ended" if report.state == "draining" else "it is not heard of any more"
            if replaced:
                reason = "replaced" if report.state == "draining" else "another was started in its place"
            since_s = self.gone[worker].since_s if worker in self.gone else now_s
            self.gone[worker] = Gone(report, since_s, reason)
        self.present.sort(key=lambda r: (len(r.slot), r.slot))
        old = [worker for worker, gone in self.gone.items() if now_s - gone.since_s > GONE_S]
        newest_first = sorted(self.gone, key=lambda w: self.gone[w].since_s, reverse=True)
        for worker in {*old, *newest_first[GONE_MAX:]} - here.keys():
            for kept in (self.gone, self._last, self._seen_s, self._rates):
                kept.pop(worker, None)

    def _baseline(self, report: WorkerReport, before: WorkerReport | None) -> WorkerReport | None:
        """What to subtract: the report before, nothing for a worker that began after us, None when it is not known."""
        if before is not None:
            return before
        assert self._began_s is not None
        if report.started_s < self._began_s or report.at_s - report.started_s > GONE_S:
            return None  # it counted before anybody looked, or is one that was forgotten and has come back
        return nothing_yet(report)

    def _add_up(self, news: Iterable[tuple[WorkerReport, WorkerReport | None]], span_s: float) -> None:
        deliveries = dict.fromkeys(PRIORITIES, 0)
        latency: dict[str, list[Buckets]] = {priority: [] for priority in PRIORITIES}
        joins = 0
        for report, known in news:
            before = self._baseline(report, known)
            if before is None or late(report, before):
                self._rates[report.worker] = None
                continue
            sent = 0
            for priority in PRIORITIES:
                more = report.deliveries_total.get(priority, 0) - before.deliveries_total.get(priority, 0)
                deliveries[priority] += more
                sent += more
                latency[priority].append(added(report.latency.get(priority, {}), before.latency.get(priority, {})))
            joins += report.joins_total - before.joins_total
            self._rates[report.worker] = sent / max(0.1, report.at_s - before.at_s)
        together = {priority: merged(parts) for priority, parts in latency.items()}
        self.minute.add(Second(self._now_s, span_s, deliveries, together, joins))
        rates = [rate for report in self.present if (rate := self._rates.get(report.worker)) is not None]
        self.deliveries_per_s = sum(rates) if rates else None

    def _judge(self, news: Iterable[tuple[WorkerReport, WorkerReport | None]]) -> None:
        """Add what is new of each wedding. Most have nothing to judge in most seconds: comparing two equal dicts is cheap."""
        for report, known in news:
            before = self._baseline(report, known)
            elapsed_s = max(0.1, report.at_s - before.at_s) if before is not None else 1.0
            for name, wedding in report.weddings.items():
                was = before.weddings.get(name, NOTHING) if before is not None else wedding
                if was.deliveries_total > wedding.deliveries_total:
                    was = NOTHING  # the room was opened again
                more = wedding.deliveries_total - was.deliveries_total
                self._wedding_rates[report.worker, name] = more / elapsed_s
                faults = wedding.faults_total - was.faults_total
                timed = wedding.latency != was.latency and not (before is not None and late(report, before))
                if faults or timed:
                    judged = self._judged.setdefault(name, Judged())
                    judged.add(self._now_s, added(wedding.latency, was.latency) if timed else {}, faults)
        for name in [name for name, judged in self._judged.items() if judged.forget(self._now_s)]:
            del self._judged[name]

    def _follow(self) -> None:
        """Where everybody is, and whose wedding has changed its worker."""
        where: dict[str, dict[str, int]] = {}
        for report in self.present:
            for name, wedding in report.weddings.items():
                if count := sum(wedding.connections.values()):
                    slots = where.setdefault(name, {})
                    slots[report.slot] = slots.get(report.slot, 0) + count
        for name, slots in where.items():
            before, main = self._main.get(name), max(slots, key=lambda slot: (slots[slot], slot))
            if before is not None and main != before and slots.get(before, 0) < slots[main]:
                self._moved[name] = Moved(self._now_s, before, main, self._why(before))
            elif before is not None and main != before:
                main = before
            self._main[name] = main
        self._main = {name: slot for name, slot in self._main.items() if name in where or slot in self._lost()}
        self._moved = {n: m for n, m in self._moved.items() if self._now_s - m.at_s < MOVED_S and n in self._main}
        self._where = where
        live = {(report.worker, name) for report in self.present for name in report.weddings}
        if len(self._wedding_rates) > len(live):
            self._wedding_rates = {key: rate for key, rate in self._wedding_rates.items() if key in live}

    def _lost(self) -> set[str]:
        """Slots whose worker was lost: the people of its weddings are on their way."""
        return {gone.report.slot for gone in self.gone.values()}

    def _why(self, slot: str) -> str:
        gone = [g for g in self.gone.values() if g.report.slot == slot]
        if gone:
            return f"{slot} was drained" if gone[-1].report.state == "draining" else f"{slot} is gone"
        if any(report.slot == slot and report.state == "draining" for report in self.present):
            return f"{slot} is being drained"
        return "the balancer asked its people to go there, or they came back there"

    # -- what is shown ------------------------------------------------------------------------------------------------

    def latency(self) -> tuple[list[Latency], Latency]:
        """Of each priority, and of P0 and P1 together."""
        by_priority = self.minute.latency
        urgent = merged(by_priority.get(priority, {}) for priority in ("P0", "P1"))
        return [_latency(p, by_priority.get(p, {})) for p in PRIORITIES], _latency("P0 and P1", urgent)

    def workers(self) -> list[WorkerStatus]:
        """Those that are there, by slot, then those that are gone, the latest first."""
        gone = sorted(self.gone.values(), key=lambda g: g.since_s, reverse=True)
        lost = [self._worker(g.report, g) for g in gone if g.report.worker not in {r.worker for r in self.present}]
        return [self._worker(report, None) for report in self.present] + lost

    def _worker(self, report: WorkerReport, gone: Gone | None) -> WorkerStatus:
        heard = [r.canaries[report.worker] for r in self.present if report.worker in r.canaries]
        in_time = [took_s for took_s in heard if took_s is not None and took_s <= CANARY_LOST_S]
        went: dict[str, int] = {}
        for name in report.weddings if gone is not None else ():
            for slot in self._where.get(name, {}):
                went[slot] = went.get(slot, 0) + 1
        last = report.tuned[-1] if report.tuned else None
        return WorkerStatus(
            report.worker, report.slot, report.host, report.pid,
            "gone" if gone is not None else report.state, gone.reason if gone is not None else report.reason,
            gone is not None, self._now_s - self._seen_s[report.worker], self._now_s - report.started_s,
            sum(report.connections.values()), sum(1 for w in report.weddings.values() if any(w.connections.values())),
            None if gone is not None else self._rates.get(report.worker), report.busy, report.lag_s, report.rss_bytes,
            report.outbox_bytes, report.window_s, report.shed, report.journal_healthy, report.layer_healthy,
            (len(in_time), len(heard)) if heard else None, max(in_time, default=None), report.plans,
            f"{last.change}: {last.reason}" if last is not None else "", went,
        )  # fmt: skip

    def weddings(
        self, standing: Standing, bookings: Mapping[str, Booking], limit: int = WEDDINGS_MAX
    ) -> tuple[list[WeddingStatus], dict[str, int]]:
        """The weddings worth looking at first (a promise not kept, then the largest), and {promise: how many of all}."""
        promises: dict[str, int] = dict.fromkeys(_WORST_FIRST, 0)
        ranked: list[tuple[int, bool, int, str]] = []
        for name, slots in self._where.items():
            promise = self._judged[name].promise if name in self._judged else "quiet"
            promises[promise] += 1
            ranked.append((max(1, _WORST_FIRST[promise]), name in self._moved, sum(slots.values()), name))
        workers = as_workers(self.present)
        first = heapq.nlargest(limit, ranked, key=lambda r: (r[0], r[1], r[2]))
        return [self._wedding(name, workers, standing, bookings.get(name)) for *_, name in first], promises

    def _wedding(self, name: str, workers: list[Worker], standing: Standing, booking: Booking | None) -> WeddingStatus:
        slots = self._where[name]
        judged = self._judged.get(name)
        placed = place(name, "guest", workers, home=standing.homes.get(name, ""), bound=standing.bound)
        rates = [rate for r in self.present if (rate := self._wedding_rates.get((r.worker, name))) is not None]
        at_s, moved = self._now_s - self._ahead_s, self._moved.get(name)
        expected = round(sum(booking.connected(at_s).values())) if booking and booking.known else None
        return WeddingStatus(
            name, sum(slots.values()), slots, sum(rates) if rates else None,
            cast(Promise, judged.promise if judged else "quiet"), judged.judged if judged else 0, judged.late if judged else 0,
            judged.faults if judged else 0, judged.p99_s if judged else None,
            placed.worker, placed.first_choice, placed.reason,
            replace(moved, at_s=moved.at_s - self._ahead_s) if moved else None,
            booking.phase(at_s) if booking else "", expected,
        )  # fmt: skip


def _latency(name: str, buckets: Mapping[int, int]) -> Latency:
    counts = dict(buckets)
    p50, p99, p999 = (quantile_s(counts, q) if counts else None for q in (0.5, 0.99, 0.999))
    return Latency(name, sum(counts.values()), p50, p99, p999, beyond(counts, LIMIT_S))
