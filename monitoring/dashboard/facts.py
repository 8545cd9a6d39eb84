"""What the databases add to the dashboard: alerts with their names, incidents, moves, decisions, pins, drills. Bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Max, Q
from msgspec import Struct

from monitoring.alerting import summary
from monitoring.models.alerts import Alert, AlertRule, Incident
from monitoring.models.drills import DrillRun
from monitoring.models.scaling import PlacementEvent, ScalingEvent, ScalingPin
from monitoring.readiness import DRILL_AGE, REQUIRED, REQUIRED_WITH_REDIS

ALERTS_MAX, INCIDENTS_MAX, MOVES_MAX, DECISIONS_MAX = 20, 3, 8, 5
DRILLS = (*REQUIRED, *REQUIRED_WITH_REDIS)
COMMANDS = {"load": "manage.py drill load --profile sat-june-10k"}


class AlertFact(Struct, frozen=True):
    """An alert that is not over."""

    pk: int
    severity: str
    title: str
    reason: str
    state: str
    muted: str
    fired_s: float
    acknowledged_by: str


class IncidentFact(Struct, frozen=True):
    pk: int
    title: str
    state: str
    started_s: float


class MoveFact(Struct, frozen=True):
    """The balancer asked a wedding's people to go elsewhere."""

    at_s: float
    wedding: str
    source: str
    target: str
    sockets: int
    reason: str


class DecisionFact(Struct, frozen=True):
    at_s: float
    have: int
    want: int
    reason: str
    acted: bool


class PinFact(Struct, frozen=True):
    workers: int
    until_s: float
    who: str
    reason: str


class DrillFact(Struct, frozen=True):
    """The last runs of one drill. None: never."""

    name: str
    command: str
    passed_s: float | None
    failed_s: float | None
    due: bool
    """It has not passed lately, or failed since."""


class Facts(Struct, frozen=True):
    """As of `read_s`; `known` False: the history database did not answer, and this is what it said last."""

    read_s: float | None = None
    known: bool = True
    alerts: list[AlertFact] = []
    alerts_more: int = 0
    incidents: list[IncidentFact] = []
    moves: list[MoveFact] = []
    decisions: list[DecisionFact] = []
    pin: PinFact | None = None
    drills: list[DrillFact] = []


def read(now: datetime) -> Facts:
    """All of it. Raises DatabaseError."""
    alerts, more = _alerts()
    pin = ScalingPin.objects.filter(at__lte=now, until__gt=now).first()
    return Facts(
        now.timestamp(),
        True,
        alerts,
        more,
        [
            IncidentFact(i.pk, i.title, i.state, i.started_at.timestamp())
            for i in Incident.objects.filter(closed_at=None)[:INCIDENTS_MAX]
        ],
        [
            MoveFact(m.at.timestamp(), m.wedding, m.source, m.target, m.sockets, m.reason)
            for m in PlacementEvent.objects.all()[:MOVES_MAX]
        ],
        [DecisionFact(d.at.timestamp(), d.have, d.want, d.reason, d.acted) for d in ScalingEvent.objects.all()[:DECISIONS_MAX]],
        PinFact(pin.workers, pin.until.timestamp(), pin.who, pin.reason) if pin is not None else None,
        _drills(now),
    )


def _alerts() -> tuple[list[AlertFact], int]:
    """Those that are told or silenced, pages first, and how many more there are."""
    rules: Mapping[str, AlertRule] = {rule.name: rule for rule in AlertRule.objects.all()}
    rows = sorted(
        Alert.objects.filter(resolved_at=None),
        key=lambda a: (("page", "ticket", "info").index(a.severity), -a.fired_at.timestamp()),
    )
    shown = [
        AlertFact(
            row.pk,
            row.severity,
            summary(row, rules.get(row.rule)),
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
