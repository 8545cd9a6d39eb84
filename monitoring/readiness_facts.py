"""Finds out what `monitoring.readiness` judges: calendar, calibration, drills, test page, alerts, disk, the scaler's plan."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db.models import Max, Q

from monitoring import paging
from monitoring.alerting import free_share
from monitoring.capacity import last_calibration
from monitoring.control import STATUS
from monitoring.heard import FRESH_S
from monitoring.history import AGAIN_S
from monitoring.models.alerts import Alert, AlertRule, Incident, Silence
from monitoring.models.drills import DrillRun
from monitoring.models.samples import Sample
from monitoring.readiness import DRILL_AGE, SIZED, Capacity, Drilled, Facts, Step
from monitoring.rollup import RAW
from monitoring.samples import TOTAL
from realtime.bootstrap import services
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.policy.forecast import Booking, Forecast
from realtime.policy.scaling import Limits
from realtime.policy.simulation import simulate
from wedsync.weddings.forecasting import bookings

AROUND = timedelta(days=2)
"""From noon UTC: a date begins 14 h before it in Kiribati and ends 12 h after it in the far west, and a day has its night."""
YEARS = (2000, 2199)
"""Of a day that somebody asks about: there are two days around it on every clock."""
WORKERS_FREE = 1_000
"""No limit: what would be needed shows."""


def running() -> int | None:
    """How many places are filled by a worker that takes people now, None when that cannot be found out or none is."""
    try:
        reports = async_to_sync(services().registry.reports)()
    except RegistryUnavailable:
        return None
    now_s = SystemClock().now().timestamp()
    return len({report.slot for report in reports if report.state == "ready" and now_s - report.at_s < FRESH_S}) or None


def _watched() -> bool:
    """Whether a control loop has ticked lately. Where its notes cannot be read (a fleet with a Redis of its own), its history
    tells."""
    try:
        noted = async_to_sync(services().registry.read)(STATUS)
    except RegistryUnavailable:
        return False
    if noted is not None or settings.REDIS_URL:
        return noted is not None
    lately = SystemClock().now() - timedelta(seconds=2 * RAW.step_s + 2 * AGAIN_S)
    return Sample.objects.filter(step_s=RAW.step_s, scope=TOTAL, at__gt=lately).exists()


def asked_day(text: str, now: datetime) -> date:
    """The day of 2027-06-12, or of tomorrow: at the venue of the next wedding. Raises ValueError for anything else."""
    if text != "tomorrow":
        day = date.fromisoformat(text)
        if not YEARS[0] <= day.year <= YEARS[1]:
            raise ValueError(text)
        return day
    coming = [booking for booking in bookings(now, AROUND) if booking.ceremony > now]
    zone = min(coming, key=lambda booking: booking.ceremony).zone if coming else UTC
    return now.astimezone(zone).date() + timedelta(days=1)


def gather(day: date, workers: int | None) -> Facts:
    """What is known about `day`, a date at the venues. `workers`: how many there may be, None when nobody knows."""
    around = bookings(datetime.combine(day, time(12), UTC), AROUND)
    of_day = [booking for booking in around if booking.ceremony.astimezone(booking.zone).date() == day]
    peak, peak_at = _peak(around, of_day)
    capacity = _capacity()
    rehearsal = DrillRun.objects.filter(name="rehearsal", passed=True, options__date=day.isoformat())
    rehearsal = rehearsal.filter(options__calendar__isnull=True)  # one of a file is no rehearsal of these weddings
    return Facts(
        day,
        len(of_day),
        unknown=tuple(sorted(booking.wedding for booking in of_day if not booking.known)),
        peak=peak,
        peak_at=peak_at,
        capacity=capacity,
        workers_max=workers,
        redis=bool(settings.REDIS_URL),
        drills=_drills(),
        rehearsed_at=rehearsal.aggregate(last=Max("ended_at"))["last"],
        page=paging.last(),
        watched=_watched(),
        firing=tuple(str(alert) for alert in Alert.objects.filter(severity="page", resolved_at=None).exclude(kept={})),
        incidents=tuple(str(incident) for incident in Incident.objects.filter(closed_at=None)),
        silences=_silences(of_day),
        disk_free=free_share(settings.VAR_DIR),
        plan=_plan(around, of_day, capacity),
    )


def _peak(around: list[Booking], of_day: list[Booking]) -> tuple[int | None, datetime | None]:
    """The most people at once while any wedding of the day is on, those of the days beside it included; and when."""
    known = [booking for booking in of_day if booking.known]
    if not known:
        return None, None
    forecast = Forecast(around)
    moments = sorted({at_s for booking in known for at_s in booking.begins_s})
    at_s = max(moments, key=forecast.expected)
    return round(forecast.expected(at_s)), datetime.fromtimestamp(at_s, UTC)


def _plan(around: list[Booking], of_day: list[Booking], capacity: Capacity | None) -> tuple[Step, ...]:
    """What the scaler's policy would do on that day, if as many people come as the calendar says and nothing limits it."""
    known = [booking for booking in of_day if booking.known]
    if not known or capacity is None:
        return ()
    points = simulate(around, Limits(connections=capacity.connections, most=WORKERS_FREE)).points
    from_s, to_s = min(b.begins_s[0] for b in known), max(b.begins_s[-1] for b in known)
    during = [point for point in points if from_s <= point.at_s <= to_s]
    steps = during[:1] + [after for before, after in pairwise(during) if after.want != before.want]
    return tuple(Step(datetime.fromtimestamp(point.at_s, UTC), point.want) for point in steps)


def _capacity() -> Capacity | None:
    run = last_calibration()
    connections = run.result.get("facts", {}).get("connections") if run is not None else None
    return Capacity(int(connections), run.ended_at) if run is not None and connections else None


def _drills() -> dict[str, Drilled]:
    last = DrillRun.objects.order_by("name").values_list("name")
    found = last.annotate(passed_at=Max("ended_at", filter=Q(passed=True)), failed_at=Max("ended_at", filter=Q(passed=False)))
    return {name: Drilled(passed_at, failed_at, _people(name, passed_at)) for name, passed_at, failed_at in found}


def _people(name: str, passed_at: datetime | None) -> int | None:
    """The most that a drill passed with in the week up to its last pass."""
    if name not in SIZED or passed_at is None:
        return None
    lately = DrillRun.objects.filter(name=name, passed=True, ended_at__gt=passed_at - DRILL_AGE)
    said = [options.get("connections") for options in lately.values_list("options", flat=True)]
    return max((count for count in said if isinstance(count, int) and count), default=None)


def _silences(of_day: list[Booking]) -> tuple[str, ...]:
    """Silences of what pages that are in force while a wedding of the day is on."""
    if not of_day:
        return ()
    opens = datetime.fromtimestamp(min(booking.day.opens_s for booking in of_day), UTC)
    closes = datetime.fromtimestamp(max(booking.day.closes_s for booking in of_day), UTC)
    pages = set(AlertRule.objects.filter(severity="page").values_list("name", flat=True)) | {""}
    return tuple(str(s) for s in Silence.objects.filter(ends_at__gt=opens, starts_at__lt=closes) if s.rule in pages)
