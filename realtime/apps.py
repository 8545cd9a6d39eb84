"""The Django app of realtime."""

from django.apps import AppConfig
from django.core.signals import request_started

from realtime.patience import answer_within

PAGE_PATIENCE_S = 10.0
"""For an answer that a page waits for. All pages of a process share a thread: one that waits for ever is the end of them."""


def _page(**_: object) -> None:
    answer_within(PAGE_PATIENCE_S)


class RealtimeAppConfig(AppConfig):
    """Starts nothing: the server starts `realtime.services.Services` when its loop runs."""

    name = "realtime"
    verbose_name = "Realtime"

    def ready(self) -> None:
        request_started.connect(_page, dispatch_uid="realtime.patience")  # called in the thread of the page
