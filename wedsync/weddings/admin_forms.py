"""Forms of the admin: by the clocks of the venue, and for what goes on while they are open."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django import forms
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from wedsync.weddings.models import RunSheetItem
from wedsync.weddings.tables import YEARS, at_venue, local_time, wall_clock

UTC = ZoneInfo("UTC")
SECONDS = re.compile(r"(?<=\d:\d\d):[0-5]\d\Z")
"""The admin's "Now" types them."""


class VenueTimeField(forms.MultiValueField):
    """A day and a time by the clocks of the venue, as tables have them: of a time that exists twice the first is meant, the
    second with its offset behind it (`01:30+00:00`). What is left alone stays as it is stored, to the second."""

    zone = UTC
    stored: datetime | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__((forms.DateField(), forms.CharField()), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, datetime):
            return value
        return [value.astimezone(self.zone).date(), wall_clock(value, self.zone).partition(" ")[2]]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)

    def compress(self, data_list: Any) -> datetime:
        """The moment. Raises ValidationError with a sentence for one that the clocks of the venue never show."""
        day, clock = data_list
        if self.stored is not None and data_list == self.prepare_value(self.stored):
            return self.stored
        if day.year not in YEARS:
            raise forms.ValidationError(f"A year from {YEARS[0]} to {YEARS[-1]} is needed.")
        try:
            local = local_time(f"{day.isoformat()} {SECONDS.sub('', clock)}")
        except ValueError:
            raise forms.ValidationError(f"{clock[:40]!r} is not a time such as 14:30.") from None
        try:
            return at_venue(local, self.zone)
        except ValueError as error:
            raise forms.ValidationError(f"{error}.") from None


class VenueTimeAdmin(ModelAdmin):  # type: ignore[misc]
    """Its forms show and take `moment` by the clocks of the venue, as the lists do."""

    moment: str
    formfield_overrides: ClassVar[dict[Any, Any]] = {models.DateTimeField: {"form_class": VenueTimeField}}

    def venue_zone(self, request: HttpRequest, obj: Any) -> ZoneInfo | None:
        """Of the wedding as the form sends it, else of `obj`. None when no venue is chosen yet."""
        raise NotImplementedError

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        zone = self.venue_zone(request, self.get_object(request, object_id) if object_id else None)
        with timezone.override(zone or UTC):
            response: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
            return response.render() if isinstance(response, TemplateResponse) else response

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if self.moment in form.base_fields:
            zone = self.venue_zone(request, obj)
            field = form.base_fields[self.moment]
            field.zone, field.stored = zone or UTC, obj and getattr(obj, self.moment)
            field.help_text = f"At the venue, {zone.key if zone else 'by its clocks'}."
        return form


class AsTyped(forms.JSONField):
    """Shows what was typed again, not what it means: that may be half an emoji, which no page can hold."""

    def to_python(self, value: Any) -> Any:
        """What it means. Raises ValidationError, also for what is nested or long beyond what Python reads."""
        try:
            return super().to_python(value)
        except (RecursionError, ValueError) as error:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid", params={"value": value}) from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        return InvalidJSONInput(data) if isinstance(data, str) else data


class ItemForm(forms.ModelForm):  # type: ignore[type-arg]
    """Remembers what it showed: of a form that stood open while the day moved, only what was changed in it is meant."""

    shown = AsTyped(required=False, widget=forms.HiddenInput)

    class Meta:
        model = RunSheetItem
        exclude = ()
        field_classes = {"who": AsTyped, "depends_on": AsTyped}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._now = {name: self.initial[name] for name in self.fields if name in self.initial}
        self.fields["shown"].initial = {name: _plain(value) for name, value in self._now.items()}

    def clean(self) -> dict[str, Any]:
        """Fields that were left alone as they are now. An error for one that was changed here and, meanwhile, elsewhere."""
        cleaned = super().clean() or {}
        shown = cleaned.get("shown")
        for name, was in shown.items() if isinstance(shown, dict) else ():
            if name not in cleaned or name not in self._now or was == _plain(self._now[name]):
                continue
            if _plain(cleaned[name]) == was:
                cleaned[name] = self._now[name]
            elif _plain(cleaned[name]) != _plain(self._now[name]):
                self.add_error(name, "This was changed by somebody else meanwhile. Open the page again to see it as it is now.")
        return cleaned

    @cached_property
    def changed_data(self) -> list[str]:
        """What is to be stored."""
        return [name for name, now in self._now.items() if _plain(self.cleaned_data.get(name, now)) != _plain(now)]


def _plain(value: Any) -> Any:
    """As it comes back from JSON. Moments in seconds: what is typed may be too far off to be told in another zone."""
    return value.timestamp() if isinstance(value, datetime) else value
