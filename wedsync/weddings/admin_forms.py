"""Forms of the admin for what goes on while they are open."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils.functional import cached_property

from wedsync.weddings.models import RunSheetItem


class ItemForm(forms.ModelForm):  # type: ignore[type-arg]
    """Remembers what it showed: of a form that stood open while the day moved, only what was changed in it is meant."""

    shown = forms.JSONField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = RunSheetItem
        exclude = ()

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
