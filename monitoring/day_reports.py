"""Makes, keeps and finds the day reports: from the journal, the recorded minutes and the alerts of the time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Min, Q
from django.utils.encoding import force_bytes

from monitoring import day_report
from monitoring.alerting import summary
from monitoring.day_report import DayReport, Journalled, Minute, Trouble
from monitoring.models.alerts import Alert, AlertRule, IncidentEvent
from monitoring.models.days import StoredReport, WeddingMinute
from realtime.kinds import KINDS
from realtime.models import JournalEntry, Room
from wedsync.weddings.models import Wedding

MINUTES_KEPT = timedelta(days=30)
TROUBLES_MAX, DONE_MAX = 50, 20
DONE = (IncidentEvent.Kind.ACKNOWLEDGED, IncidentEvent.Kind.NOTE, IncidentEvent.Kind.DRAIN, IncidentEvent.Kind.DECISION)


def keys() -> list[bytes]:
    """What signs reports, the one in use first."""
    return [b"monitoring.day_report:" + force_bytes(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def make(slug: str, now: datetime) -> DayReport | None:
    """The report of this wedding as far as its day has come. None: there is no such wedding."""
    wedding = Wedding.objects.filter(slug=slug).first()
    if wedding is None:
        return None
    start, end = wedding.window
    whose = day_report.Wedding(slug, wedding.names, wedding.venue, wedding.timezone, start, end)
    found = troubles(slug, start, end)
    left_out = max(0, len(_pages(slug, start, end)) - len(found))
    return day_report.build(
        whose, journalled(slug, start, end), minutes(slug, start, end), found, now.astimezone(wedding.zone), left_out
    )


def file_of(slug: str, now: datetime) -> bytes | None:
    """The signed file: the one that was kept when the day was over, else one made now. None: there is no such wedding."""
    wedding, kept = Wedding.objects.filter(slug=slug).first(), StoredReport.objects.filter(wedding=slug).first()
    if kept is not None and (wedding is None or _of_this_day(kept, wedding)):
        return kept.file.encode()
    report = make(slug, now)
    if report is None:
        return None
    file = day_report.sign(report, keys()[0])
    if now >= report.wedding.end.astimezone(UTC) + timedelta(minutes=2):  # the last minute is written by then
        StoredReport.objects.update_or_create(wedding=slug, defaults={"made_at": now, "file": file.decode()})
    return file


def _of_this_day(kept: StoredReport, wedding: Wedding) -> bool:
    """Whether a report is of the day that the wedding has now: it may have been put off since, or its date put right."""
    window = day_report.window_of(kept.file.encode())
    start, end = wedding.window
    return window is None or (window[0] < end and start < window[1])  # what is no report is shown as that, never replaced


def keep(slug: str, now: datetime, before: datetime) -> bool:
    """Make sure that the report of this wedding is kept. False: minutes of its day are older than `before`, and it is not."""
    file_of(slug, now)
    wedding, kept = Wedding.objects.filter(slug=slug).first(), StoredReport.objects.filter(wedding=slug).first()
    if wedding is None or wedding.window[0] >= before:
        return True
    return kept is not None and _of_this_day(kept, wedding)


def journalled(slug: str, start: datetime, end: datetime) -> Journalled:
    """What the journal holds of [start, end)."""
    with transaction.atomic():  # one moment for the counts and the floor
        entries = JournalEntry.objects.filter(room__name=slug, at__gte=start, at__lt=end)
        by_kind = dict(entries.values_list("kind").annotate(Count("id")).order_by("kind"))
        floor = Room.objects.filter(name=slug).values_list("floor", flat=True).first() or 0
        bounds = entries.aggregate(first=Min("offset"), last=Max("offset"))
        kept = entries.filter(offset__gt=floor).aggregate(first=Min("offset"), last=Max("offset"), n=Count("id"))
    sent: Counter[str] = Counter()
    for name, count in by_kind.items():
        kind = KINDS.get(name)
        sent[kind.priority.name if kind else "P1"] += count
    missing = kept["last"] - kept["first"] + 1 - kept["n"] if kept["n"] else 0
    pruned = bounds["first"] is not None and bounds["first"] <= floor
    return Journalled(dict(sorted(sent.items())), by_kind, bounds["first"], bounds["last"], missing, pruned)


def minutes(slug: str, start: datetime, end: datetime) -> list[Minute]:
    """The recorded minutes of [start, end), oldest first."""
    rows = WeddingMinute.objects.filter(wedding=slug, at__gte=start, at__lt=end).order_by("at")
    return [row.minute() for row in rows]


def _pages(slug: str, start: datetime, end: datetime) -> list[Alert]:
    """Pages about this wedding or the whole fleet while its day was on, oldest first."""
    during = Q(raised_at__lt=end) & (Q(resolved_at=None) | Q(resolved_at__gte=start))
    pages = Alert.objects.filter(during, severity="page").exclude(kept={}).order_by("raised_at")
    return [alert for alert in pages if alert.labels.get("wedding", slug) == slug]


def troubles(slug: str, start: datetime, end: datetime) -> list[Trouble]:
    """The first pages of the day, and what people and the fleet did about them."""
    about = {rule.name: rule for rule in AlertRule.objects.all()}
    found: list[Trouble] = []
    for alert in _pages(slug, start, end)[:TROUBLES_MAX]:
        done = IncidentEvent.objects.filter(incident=alert.incident_id, kind__in=DONE, at__gte=alert.raised_at)
        if alert.resolved_at:
            done = done.filter(at__lte=alert.resolved_at)
        lines = [f"{event.at:%H:%M:%S} UTC {event.get_kind_display()}: {event.text}{_by(event)}" for event in done[:DONE_MAX]]
        if len(lines) == DONE_MAX and (more := done.count() - DONE_MAX):
            lines.append(f"And {more} more.")
        found.append(Trouble(alert.raised_at, alert.resolved_at, summary(alert, alert.about(about)), lines))
    return found


def _by(event: IncidentEvent) -> str:
    return f" ({event.author})" if event.author else ""
