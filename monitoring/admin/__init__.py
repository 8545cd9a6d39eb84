"""Monitoring in the Django admin."""

from monitoring.admin import alerts, days

__all__ = ["alerts", "days"]
