"""Monitoring in the Django admin."""

from monitoring.admin import alerts, days, scaling

__all__ = ["alerts", "days", "scaling"]
