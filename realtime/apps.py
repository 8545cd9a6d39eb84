"""The Django app of realtime."""

from django.apps import AppConfig


class RealtimeAppConfig(AppConfig):
    """Starts nothing: the server starts `realtime.services.Services` when its loop runs."""

    name = "realtime"
    verbose_name = "Realtime"
