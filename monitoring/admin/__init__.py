"""Monitoring in the Django admin."""

from monitoring.admin import alerts, days, refused, scaling

__all__ = ["alerts", "days", "refused", "scaling"]
