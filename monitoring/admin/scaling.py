"""Decisions of the scaler and the balancer in the admin, to be read; pins and overrides, to be made."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from monitoring.admin.reading import ReadOnly
from monitoring.models.scaling import PlacementEvent, ScalingEvent, ScalingMode, ScalingPin, WindowOverride

FORMULA_COLOURS = {"calendar": "info", "limit": "danger", "hot": "warning", "pin": "warning"}


class ToBeRead(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """By time."""

    date_hierarchy = "at"


@admin.register(ScalingEvent)
class ScalingEventAdmin(ToBeRead):
    list_display = ("at", "change", "formula_label", "reason", "mode", "acted")
    list_filter = ("formula", "mode", "acted")
    search_fields = ("reason",)

    @display(description="workers")
    def change(self, event: ScalingEvent) -> str:
        return f"{event.have} → {event.want}" if event.want != event.have else str(event.have)

    @display(description="formula", ordering="formula", label=FORMULA_COLOURS)
    def formula_label(self, event: ScalingEvent) -> str:
        return event.formula


@admin.register(PlacementEvent)
class PlacementEventAdmin(ToBeRead):
    list_display = ("at", "wedding", "source", "target", "sockets", "reason")
    list_filter = ("source", "target")
    search_fields = ("wedding",)


@admin.register(ScalingMode)
class ScalingModeAdmin(ToBeRead):
    list_display = ("at", "mode", "who")


class SaidAdmin(ModelAdmin):  # type: ignore[misc]
    """A person makes it and ends it by its `until`; what was said stays."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ScalingPin)
class ScalingPinAdmin(SaidAdmin):
    list_display = ("at", "until", "workers", "who", "reason")


@admin.register(WindowOverride)
class WindowOverrideAdmin(SaidAdmin):
    list_display = ("at", "until", "who", "reason")
