"""Imports in the admin: upload or paste a table, see what it would change, then do it, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from wedsync.weddings.comparing import Change
from wedsync.weddings.tables import BYTES_MAX, Unreadable, decode

SHOWN_MAX = 300


class TableForm(forms.Form):
    """A file, or the text of one. After the preview the text comes back as `table`, to be read and checked once more."""

    file = forms.FileField(required=False, widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,text/csv,.txt,.tsv"}))
    table = forms.CharField(
        required=False,
        strip=False,
        max_length=BYTES_MAX,
        label="or paste it here",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        """The text in `table`, wherever it came from. Raises ValidationError when there is none, or no text in the file."""
        cleaned = super().clean() or {}
        if upload := cleaned.get("file"):
            try:
                cleaned["table"] = decode(upload.read(BYTES_MAX + 1))
            except Unreadable as error:
                raise forms.ValidationError([str(mistake) for mistake in error.mistakes]) from None
        if not cleaned.get("table", "").strip():
            raise forms.ValidationError("Choose a file, or paste a table.")
        return cleaned


def import_view(
    request: HttpRequest,
    *,
    context: dict[str, Any],
    preview: Callable[[str], list[Change]],
    store: Callable[[str], str],
    done_url: str,
) -> HttpResponse:
    """The page: empty, then the preview, then done. `preview` and `store` raise Unreadable; `store` gives what to say."""
    form = TableForm(request.POST or None, request.FILES or None)
    mistakes, changes = [], None
    if request.method == "POST" and form.is_valid():
        table = form.cleaned_data["table"]
        try:
            if "confirm" in request.POST:
                messages.success(request, store(table))
                return redirect(done_url)
            changes = preview(table)
            form = TableForm(initial={"table": table})
        except Unreadable as error:
            mistakes = error.mistakes
            form = TableForm(initial={"table": table})
    return TemplateResponse(
        request,
        "admin/weddings/import.html",
        context
        | {
            "form": form,
            "mistakes": mistakes[:SHOWN_MAX],
            "more_mistakes": max(0, len(mistakes) - SHOWN_MAX),
            "n_mistakes": len(mistakes),
            "changes": changes[:SHOWN_MAX] if changes is not None else None,
            "more_changes": max(0, len(changes or ()) - SHOWN_MAX),
            "counts": [(what, sum(c.what == what for c in changes or ())) for what in ("new", "changed", "removed")],
            "done_url": done_url,
        },
        status=422 if mistakes else 200,
    )
