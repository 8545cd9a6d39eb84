"""Django's entry to monitoring."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """What happened, is the promise kept, who must know."""

    name = "monitoring"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"
