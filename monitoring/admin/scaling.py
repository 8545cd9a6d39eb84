"""Decisions of the scaler and the balancer in the admin, to be read; pins and overrides, to be made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from monitoring.admin.reading import ReadOnly
from monitoring.admin.writing import Written
from monitoring.models.scaling import PlacementEvent, ScalingEvent, ScalingMode, ScalingPin, WindowOverride
from monitoring.telling import record
from realtime.clock import SystemClock

clock = SystemClock()

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


class SaidForm(forms.ModelForm):  # type: ignore[type-arg]
    """Made by who is logged in; later it can only be ended earlier."""

    who = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held_until = self.instance.until
        if self.instance.pk is None:
            self.instance.who = self.who

    def clean_until(self) -> datetime:
        until: datetime = self.cleaned_data["until"]
        if self._held_until is None:
            return until
        if until > self._held_until:
            raise ValidationError("It can be ended earlier; for longer, a new one is needed.")
        ends: datetime = min(self._held_until, max(until, clock.now()))  # what was over already stays so
        return ends


class SaidAdmin(Written):
    """A person makes it and ends it by its `until`; what was said stays, and who said it is in the audit."""

    form = SaidForm
    readonly_fields = ("who",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        if obj is None:
            return self.readonly_fields
        return [field.name for field in self.model._meta.fields if field.name not in ("id", "until")]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[SaidForm]:
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"who": request.user.get_username()})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:  # type: ignore[type-arg]
        if not change or form.changed_data:
            what = f"{'end' if change else 'add'} {obj._meta.verbose_name}"
            record(obj, request.user.get_username(), what, str(obj), clock.now())


@admin.register(ScalingPin)
class ScalingPinAdmin(SaidAdmin):
    list_display = ("at", "until", "workers", "who", "reason")


@admin.register(WindowOverride)
class WindowOverrideAdmin(SaidAdmin):
    list_display = ("at", "until", "who", "reason")
