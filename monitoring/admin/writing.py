"""What people order in the admin while the history database does not answer."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.admin import ModelAdmin

from monitoring.dashboard.actions import UNWRITTEN

logger = logging.getLogger(__name__)


class Written(ModelAdmin):  # type: ignore[misc]
    """Says so when it cannot be written down, as the dashboard does."""

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _or_nothing(super().changelist_view, request, *args, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _or_nothing(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _or_nothing(super().delete_view, request, *args, **kwargs)


def _or_nothing(view: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    try:
        return view(request, *args, **kwargs)  # type: ignore[no-any-return]
    except DatabaseError as error:
        if request.method != "POST":
            raise
        logger.error("%s is not done: %s", request.path, error)
        messages.error(request, UNWRITTEN)
        return redirect(request.get_full_path())
