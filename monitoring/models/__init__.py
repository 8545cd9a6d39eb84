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
from monitoring.models.days import StoredReport, WeddingMinute

__all__ = ["Alert", "AlertRule", "Incident", "IncidentEvent", "Notice", "Receiver", "Silence", "StoredReport", "WeddingMinute"]
