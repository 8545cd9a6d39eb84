"""What the databases add to the dashboard: alerts with their names, incidents, moves, decisions, pins, drills. Bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Max, Q
from msgspec.structs import replace

from monitoring.alerting import summary
from monitoring.dashboard.status import AlertFact, DecisionFact, DrillFact, Facts, IncidentFact, MoveFact, PinFact
from monitoring.models.alerts import Alert, AlertRule, Incident
from monitoring.models.drills import DrillRun
from monitoring.models.scaling import PlacementEvent, ScalingEvent, ScalingPin
from monitoring.readiness import DRILL_AGE, REQUIRED, REQUIRED_WITH_REDIS

ALERTS_MAX, INCIDENTS_MAX, MOVES_MAX, DECISIONS_MAX = 20, 3, 8, 5
DRILLS = (*REQUIRED, *REQUIRED_WITH_REDIS)
COMMANDS = {"load": "manage.py drill load --profile sat-june-10k"}


def read(now: datetime, before: Facts | None = None) -> Facts:
    """All of it; where `before` is given, what only the control loop and drills change as it was then. Raises DatabaseError."""
    alerts, more = _alerts()
    found = Incident.objects.filter(closed_at=None)[:INCIDENTS_MAX]
    incidents = [IncidentFact(i.pk, i.title, i.state, i.started_at.timestamp()) for i in found]
    row = ScalingPin.objects.filter(at__lte=now, until__gt=now).first()
    pin = PinFact(row.workers, row.until.timestamp(), row.who, row.reason) if row is not None else None
    if before is not None:
        return replace(before, read_s=now.timestamp(), alerts=alerts, alerts_more=more, incidents=incidents, pin=pin)
    return Facts(
        now.timestamp(),
        True,
        alerts,
        more,
        incidents,
        [
            MoveFact(m.at.timestamp(), m.wedding, m.source, m.target, m.sockets, m.reason)
            for m in PlacementEvent.objects.all()[:MOVES_MAX]
        ],
        [DecisionFact(d.at.timestamp(), d.have, d.want, d.reason, d.acted) for d in ScalingEvent.objects.all()[:DECISIONS_MAX]],
        pin,
        _drills(now),
    )


def _alerts() -> tuple[list[AlertFact], int]:
    """Those that are told or silenced, pages first, and how many more there are."""
    rows = sorted(
        Alert.objects.filter(resolved_at=None),
        key=lambda a: (("page", "ticket", "info").index(a.severity), -a.fired_at.timestamp()),
    )
    about = AlertRule.objects.filter(name__in={row.rule for row in rows[:ALERTS_MAX]})  # asks nothing when there is none
    rules: Mapping[str, AlertRule] = {rule.name: rule for rule in about}
    shown = [
        AlertFact(
            row.pk,
            row.severity,
            summary(row, row.about(rules)),
            row.reason,
            row.state.replace("_", " "),
            row.muted,
            row.fired_at.timestamp(),
            row.acknowledged_by,
        )
        for row in rows[:ALERTS_MAX]
    ]
    return shown, len(rows) - len(shown)


def _drills(now: datetime) -> list[DrillFact]:
    last = DrillRun.objects.order_by("name").values_list("name")
    found = {
        name: (passed, failed)
        for name, passed, failed in last.annotate(
            passed_at=Max("ended_at", filter=Q(passed=True)), failed_at=Max("ended_at", filter=Q(passed=False))
        )
    }
    rows = []
    for name in DRILLS:
        passed, failed = found.get(name, (None, None))
        due = passed is None or now - passed > DRILL_AGE or (failed is not None and failed > passed)
        rows.append(DrillFact(name, COMMANDS.get(name, f"manage.py drill {name}"), _s(passed), _s(failed), due))
    return rows


def _s(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
