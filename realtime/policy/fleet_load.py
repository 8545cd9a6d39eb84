"""From the workers' reports to what the policies want to know. PURE. What was not reported stays absent."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from realtime.histogram import added, merged, quantile_s
from realtime.policy.balancing import Worker, load_of, slow_start, unevenness
from realtime.policy.rebalancing import Held
from realtime.policy.scaling import Load
from realtime.report import WorkerReport

P99_LEAST = 100
"""Deliveries below which a 99th percentile is one accident."""


def as_workers(reports: Sequence[WorkerReport]) -> list[Worker]:
    """The workers as placing sees them; one that is not ready has weight 0 and says why. How long each has been there goes by
    its own clock.

    One that cannot store while others can is not fit; when none of them can, that is nobody's fault, and people come back."""
    storing = any(report.journal_healthy for report in reports if report.state == "ready")
    return [
        Worker(
            slot=report.slot,
            load=load_of(_sockets(report), 0),
            weight=slow_start(report.at_s - report.started_s) if _fit(report, storing) else 0.0,
            reason="drain" if report.state == "draining" else report.reason or _state(report, storing),
        )
        for report in reports
    ]


def _fit(report: WorkerReport, storing: bool) -> bool:
    return report.state == "ready" and (report.journal_healthy or not storing)


def _state(report: WorkerReport, storing: bool) -> str:
    return report.state if report.state != "ready" or _fit(report, storing) else "it alone cannot store"


def as_held(reports: Iterable[WorkerReport], protected: Container[str] = ()) -> list[Held]:
    """The weddings and where their people are. `protected`: those that are to be left alone."""
    at: dict[str, dict[str, int]] = {}
    for report in reports:
        for wedding, seen in report.weddings.items():
            sockets = sum(seen.connections.values())
            if sockets:
                where = at.setdefault(wedding, {})
                where[report.slot] = where.get(report.slot, 0) + sockets
    return [Held(wedding, where, wedding in protected) for wedding, where in sorted(at.items())]


def as_load(
    reports: Sequence[WorkerReport], before: Mapping[str, WorkerReport], now_s: float, moving: bool, workers: int | None = None
) -> Load:
    """Totals over the fleet. `before`: {worker: an earlier report of it}, for rates; a worker without one has no rates yet.

    `workers`: how many there should be, when known; those that are not heard of are missing.
    """
    counted = [report for report in reports if report.state != "draining"]
    pairs = [(before[r.worker], r) for r in reports if r.worker in before and r.at_s > before[r.worker].at_s]
    silent = max(0, (workers or 0) - len(counted))
    missing = [r.slot for r in counted if r.state == "ready" and (r.busy is None or r.lag_s is None)]
    lags = [r.lag_s for r in counted if r.lag_s is not None]
    busy, rss = [r.busy for r in reports if r.busy is not None], [r.rss_bytes for r in reports if r.rss_bytes is not None]
    tails = [tail for one, other in pairs if (tail := _p99_s(one, other)) is not None]
    return Load(
        workers=len(counted) if workers is None else workers,
        connections=sum(map(_sockets, reports)) if reports else None,
        deliveries_per_s=_rate([(a, b, _deliveries(b) - _deliveries(a)) for a, b in pairs]),
        busy=sum(busy) if busy else None,
        joins_per_s=_rate([(a, b, b.joins_total - a.joins_total) for a, b in pairs]),
        rss_bytes=float(sum(rss)) if rss else None,
        lag_s=max(lags, default=None),
        p99_s=max(tails, default=None),
        unevenness=unevenness(as_workers(reports)),
        moving=moving,
        missing=(*missing, *(["a worker that is not heard of"] * silent)),
    )


def _sockets(report: WorkerReport) -> int:
    return sum(report.connections.values())


def _deliveries(report: WorkerReport) -> int:
    return sum(report.deliveries_total.values())


def _rate(steps: Sequence[tuple[WorkerReport, WorkerReport, int]]) -> float | None:
    return sum(max(0, n) / (other.at_s - one.at_s) for one, other, n in steps) if steps else None


def _p99_s(one: WorkerReport, other: WorkerReport) -> float | None:
    """Of P0 and P1 between two reports of one worker, seconds; None with too few deliveries to say."""
    counts = merged(added(other.latency.get(priority, {}), one.latency.get(priority, {})) for priority in ("P0", "P1"))
    return quantile_s(counts, 0.99) if sum(counts.values()) >= P99_LEAST else None
