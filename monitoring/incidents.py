"""What happened, when, who did what: incidents open with the first page and gather what follows on one time line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from monitoring.models.alerts import Alert, Incident, IncidentEvent
from monitoring.router import ALIAS

Kind = IncidentEvent.Kind
SAME_WITHIN = timedelta(minutes=30)
"""A page so soon after the last one was over is the same trouble come back."""
BEFORE = timedelta(minutes=10)
"""What changed shortly before the first reading is on the time line: it is the first suspect."""


def current(now: datetime) -> Incident | None:
    """The incident that gathers what happens now."""
    going_on = Q(mitigated_at=None) | Q(mitigated_at__gt=now - SAME_WITHIN)
    return Incident.objects.filter(going_on, closed_at=None).order_by("-pk").first()


def follow(alert: Alert, summary: str, now: datetime) -> None:
    """One change of one alert: opens an incident for a page, adds to the one that is going on, ends it with its last page."""
    incident = alert.incident or current(now)
    if incident is None:
        if alert.severity != "page" or alert.told != "firing" or alert.resolved_at:
            return
        incident = Incident.objects.create(title=summary[:200], started_at=alert.raised_at, detected_at=now)
    if alert.incident_id is None:
        alert.incident = incident
        alert.save(update_fields=["incident"])
    word = "over" if alert.resolved_at else alert.told.replace("_", " ")
    IncidentEvent.objects.create(
        incident=incident, at=now, kind=Kind.ALERT, text=f"{alert.severity} {word}: {summary} ({alert.reason})"
    )
    if incident.alerts.filter(severity="page", resolved_at=None).exists():
        incident.mitigated_at = None
    elif incident.mitigated_at is None:
        incident.mitigated_at = now
    incident.save(update_fields=["mitigated_at"])


def gather(happened: Iterable[tuple[datetime, str, str]], now: datetime) -> bool:
    """Put (when, kind, text) on the time line of what is going on, from shortly before it began. False: nothing is."""
    incident = current(now)
    if incident is None:
        return False
    since = incident.started_at - BEFORE
    IncidentEvent.objects.bulk_create(
        IncidentEvent(incident=incident, at=at, kind=kind, text=text) for at, kind, text in happened if at >= since
    )
    return True


def note(kind: str, text: str, now: datetime, author: str = "") -> IncidentEvent | None:
    """Put a drain, a deploy, a decision or a sentence on the time line of what is going on. None: nothing is."""
    incident = current(now)
    if incident is None:
        return None
    return IncidentEvent.objects.create(incident=incident, at=now, kind=kind, text=text, author=author)


def acknowledge(alerts: Iterable[Alert], user: str, now: datetime) -> int:
    """`user` has seen them and takes care. Gives how many were not acknowledged before."""
    count = 0
    with transaction.atomic(using=ALIAS):
        # As they are now: meanwhile somebody else may have acknowledged one, or it may be over.
        for alert in Alert.objects.select_for_update().filter(pk__in=[alert.pk for alert in alerts]).order_by("pk"):
            if alert.acknowledged_at or alert.resolved_at:
                continue
            alert.acknowledged_at, alert.acknowledged_by = now, user
            if not alert.kept:  # a test page: nothing reads on whether it is over, so this ends it
                alert.resolved_at, alert.state = now, "ok"
            alert.save(update_fields=["acknowledged_at", "acknowledged_by", *([] if alert.kept else ["resolved_at", "state"])])
            count += 1
            incident = alert.incident
            if incident is None:
                continue
            IncidentEvent.objects.create(incident=incident, at=now, kind=Kind.ACKNOWLEDGED, text=str(alert), author=user)
            fresh = Incident.objects.filter(pk=incident.pk, acknowledged_at=None)
            fresh.update(acknowledged_at=now, acknowledged_by=user)
    return count


def close(incident: Incident, user: str, now: datetime) -> bool:
    """`user` says that it is finished. False: an alert of it is still open, or it was closed before."""
    if incident.closed_at or incident.alerts.filter(resolved_at=None, severity="page").exists():
        return False
    incident.closed_at, incident.closed_by = now, user
    incident.mitigated_at = incident.mitigated_at or now
    incident.save(update_fields=["closed_at", "closed_by", "mitigated_at"])
    return True


def durations(incident: Incident) -> dict[str, timedelta | None]:
    """{step: how long it took since the incident began}; None: it has not happened."""
    moments = {
        "detect": incident.detected_at,
        "acknowledge": incident.acknowledged_at,
        "mitigate": incident.mitigated_at,
    }
    return {step: at - incident.started_at if at else None for step, at in moments.items()}


def weddings(incident: Incident) -> list[str]:
    """The weddings that alerts of it are about."""
    return sorted({alert.labels["wedding"] for alert in incident.alerts.all() if "wedding" in alert.labels})


def span(duration: timedelta | None) -> str:
    """As people say it: "2 min 05 s"."""
    if duration is None:
        return "not yet"
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def markdown(incident: Incident) -> str:
    """The incident as a page to keep and to send."""
    steps = durations(incident)
    facts: list[tuple[str, Any]] = [
        ("State", incident.state),
        ("Began", f"{incident.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Time to detect", span(steps["detect"])),
        ("Time to acknowledge", _by(span(steps["acknowledge"]), incident.acknowledged_by)),
        ("Time to mitigate", span(steps["mitigate"])),
        ("Weddings with an alert of their own", ", ".join(weddings(incident)) or "none"),
    ]
    if incident.closed_at:
        facts.append(("Closed", _by(f"{incident.closed_at:%Y-%m-%d %H:%M:%S} UTC", incident.closed_by)))
    lines = [f"# {incident}", "", *(f"- {name}: {value}" for name, value in facts), ""]
    lines += ["## Summary", "", incident.summary.strip() or "Not written yet.", "", "## Time line (UTC)", ""]
    lines += ["| time | what | text | by |", "|---|---|---|---|"]
    for event in incident.events.all():
        cells = (f"{event.at:%H:%M:%S}", Kind(event.kind).label, event.text, event.author)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines += ["", "## Alerts", "", "| alert | severity | fired | over | worst | acknowledged by |", "|---|---|---|---|---|---|"]
    for alert in incident.alerts.order_by("fired_at"):
        over = f"{alert.resolved_at:%H:%M:%S}" if alert.resolved_at else "still open"
        worst = "" if alert.worst is None else f"{alert.worst:g}"
        row = (str(alert), alert.severity, f"{alert.fired_at:%H:%M:%S}", over, worst, alert.acknowledged_by or "nobody")
        lines.append("| " + " | ".join(_cell(cell) for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _by(what: str, who: str) -> str:
    return f"{what}, by {who}" if who else what


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
