"""Imports in the admin: upload or paste a table, see what it would change, then do it, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from wedsync.weddings.comparing import Change, counted, fingerprint
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

    previewed = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """The text in `table`, wherever it came from. Raises ValidationError when there is none, or no text in the file."""
        cleaned = super().clean() or {}
        if upload := cleaned.get("file"):
            try:
                cleaned["table"] = decode(upload.read(BYTES_MAX + 1))
            except Unreadable as error:
                raise forms.ValidationError([str(mistake) for mistake in error.mistakes]) from None
        table = cleaned.get("table", "")
        if not table.strip():
            raise forms.ValidationError("Choose a file, or paste a table.")
        # It comes back in this form, every line end as two signs.
        if len(table.encode()) + table.count("\n") > BYTES_MAX:
            raise forms.ValidationError(f"This has more than {BYTES_MAX:,} bytes; please import it in parts.")
        return cleaned


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported: `preview` and `store` raise Unreadable, `store` gives what to say.

    `hold`, in a transaction: until its end nobody else changes what is previewed.
    """

    preview: Callable[[str], list[Change]]
    store: Callable[[str], str]
    hold: Callable[[], object] = lambda: None


def import_view(request: HttpRequest, what: Import, *, context: dict[str, Any], done_url: str) -> HttpResponse:
    """The page: empty, then the preview, then done."""
    form = TableForm(request.POST or None, request.FILES or None)
    mistakes, changes, otherwise = [], None, False
    if request.method == "POST" and form.is_valid():
        table, previewed = form.cleaned_data["table"], form.cleaned_data["previewed"]
        try:
            changes, said = _carry_out(what, table, previewed) if "confirm" in request.POST else (what.preview(table), "")
            if said:
                messages.success(request, said)
                return redirect(done_url)
            otherwise = "confirm" in request.POST
            form = TableForm(initial={"table": table, "previewed": fingerprint(changes)})
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
            "more_mistakes": _more(mistakes),
            "n_mistakes": len(mistakes),
            "changes": changes[:SHOWN_MAX] if changes is not None else None,
            "more_changes": _more(changes or ()),
            "summary": ", ".join(f"{count:,} {what}" for what, count in counted(changes or ()).items() if count),
            "otherwise": otherwise,
            "done_url": done_url,
        },
        status=422 if mistakes else 409 if otherwise else 200,
    )


def _more(lines: Sequence[object]) -> str:
    """How many are not shown, "" for none."""
    return f"{len(lines) - SHOWN_MAX:,}" if len(lines) > SHOWN_MAX else ""


def _carry_out(what: Import, table: str, previewed: str) -> tuple[list[Change], str]:
    """(what changes, what to say): nothing to say when that is not what was previewed, and then nothing was changed."""
    with transaction.atomic():
        what.hold()
        changes = what.preview(table)
        return changes, what.store(table) if fingerprint(changes) == previewed else ""
