"""From what is watched and decided to a `FleetStatus`. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from monitoring.dashboard.status import BalancerStatus, FleetStatus, ScalerStatus
from monitoring.dashboard.watching import Standing, Watch
from realtime.policy.balancing import unevenness
from realtime.policy.fleet_load import as_workers
from realtime.policy.forecast import Booking, Need
from realtime.policy.scaling import ScalingDecision
from realtime.report import WorkerReport


def scaler_status(
    decision: ScalingDecision | None, need: Need | None, rho: float | None, least: int, most: int
) -> ScalerStatus | None:
    """The last decision; None: there was none yet. Without weddings in the calendar nothing is expected."""
    if decision is None:
        return None
    known = need is not None and (need.live or need.peak or need.soon)
    return ScalerStatus(
        have=decision.have,
        want=decision.want,
        why=decision.reason,
        mode=decision.mode,
        acting=decision.act,
        expected=need.expected_now if need and known else None,
        soon=need.soon if need and known else None,
        live=need.live if need and known else None,
        rho=rho if known else None,
        least=least,
        most=most,
    )


def fleet_status(
    watch: Watch,
    reports: Sequence[WorkerReport] | None,
    now: datetime,
    *,
    ahead_s: float = 0.0,
    holder: str,
    tick_ms: float | None,
    scaler: ScalerStatus | None,
    standing: Standing,
    bookings: Mapping[str, Booking],
) -> FleetStatus:
    """The fleet after these reports (None: they could not be read). `bookings`: {wedding: its entry in the calendar}.
    `ahead_s`: how far `now` has been set back since the watch began."""
    if reports is not None:
        watch.step(reports, now.timestamp() + ahead_s, ahead_s)
    by_role = watch.heard.people
    weddings, promises = watch.weddings(standing, bookings)
    latency, promise = watch.latency()
    able = [worker for worker in as_workers(watch.present) if worker.weight > 0]
    known = reports is not None and bool(watch.present)
    return FleetStatus(
        at_s=now.timestamp(),
        holder=holder,
        reports_known=reports is not None,
        tick_ms=tick_ms,
        connections=sum(by_role.values()) if known else None,
        by_role=dict(by_role),
        deliveries_per_s=watch.deliveries_per_s if known else None,
        deliveries_minute=sum(watch.minute.deliveries.values()) if known else None,
        seconds=watch.minute.seconds,
        joins_minute=watch.minute.joins if known else None,
        latency=latency,
        promise=promise,
        workers=watch.workers(),
        weddings=weddings,
        promises=promises,
        scaler=scaler,
        balancer=BalancerStatus(unevenness(able) if able else None, standing.bound, len(standing.homes), standing.moving),
    )
