"""What monitoring keeps, in the database `history`."""

from monitoring.models.alerts import (
    Alert,
    AlertRule,
    Incident,
    IncidentEvent,
    Notice,
    Receiver,
    Silence,
)
from monitoring.models.audit import AuditEntry, AuditHead
from monitoring.models.days import StoredReport, WeddingMinute
from monitoring.models.drills import DrillRun
from monitoring.models.samples import Sample
from monitoring.models.scaling import PlacementEvent, ScalingEvent, ScalingMode, ScalingPin, WindowOverride

__all__ = [
    "Alert",
    "AlertRule",
    "AuditEntry",
    "AuditHead",
    "DrillRun",
    "Incident",
    "IncidentEvent",
    "Notice",
    "PlacementEvent",
    "Receiver",
    "Sample",
    "ScalingEvent",
    "ScalingMode",
    "ScalingPin",
    "Silence",
    "StoredReport",
    "WeddingMinute",
    "WindowOverride",
]
