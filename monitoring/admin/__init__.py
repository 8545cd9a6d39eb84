"""Monitoring in the Django admin."""

from monitoring.admin import alerts

__all__ = ["alerts"]
