"""Django's entry to monitoring."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """What happened, is the promise kept, who must know."""

    name = "monitoring"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell realtime what the dashboard is told by."""
        from monitoring.dashboard.kind import OPS_STATUS
        from realtime.kinds import register

        register(OPS_STATUS)
