"""Publications of committed transactions that could not be published, in the Django admin: nobody waits for their answer."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from monitoring.admin.reading import ReadOnly
from realtime.models import OutboxEntry


@admin.register(OutboxEntry)
class OutboxEntryAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("at", "room", "kind", "name", "failed")
    list_select_related = ("room",)
    search_fields = ("room__name", "kind", "publication_id", "failed")
    date_hierarchy = "at"
    ordering = ("-at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEntry]:
        """Without what still waits, as a rule for less than a second."""
        found: QuerySet[OutboxEntry] = super().get_queryset(request).exclude(failed="")
        return found
