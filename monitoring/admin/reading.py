"""What the control loop has written: people look at it, filter it and take it along as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import BinaryField, Field, Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from wedsync.weddings.tables import harmless

ROWS_MAX = 100_000
"""Of one file: what a spreadsheet still opens."""


class Echo:
    """A file that hands on what is written to it."""

    def write(self, text: str) -> str:
        return text


class CsvExport:
    """The action "Export as CSV": every column of the selected rows, in the order of the list."""

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Model]) -> StreamingHttpResponse:
        """Streamed, `ROWS_MAX` rows at most; histograms are left out, formulas made text."""
        fields = [field for field in queryset.model._meta.concrete_fields if not isinstance(field, BinaryField)]
        rows = lines(fields, queryset[:ROWS_MAX].iterator(chunk_size=2_000))
        name = f'attachment; filename="{queryset.model._meta.model_name}.csv"'
        return StreamingHttpResponse(rows, "text/csv; charset=utf-8", headers={"Content-Disposition": name})


def lines(fields: Iterable[Field[Any, Any]], rows: Iterable[Model]) -> Iterator[str]:
    """The lines of the file, the names of the columns first."""
    fields = list(fields)
    writer = csv.writer(Echo())
    yield writer.writerow([field.name for field in fields])
    for row in rows:
        yield writer.writerow([cell(field.value_from_object(row)) for field in fields])


def cell(value: object) -> object:
    """As a spreadsheet reads it: ISO times in UTC, JSON for what has parts, nothing for what was not measured."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return harmless(json.dumps(value, ensure_ascii=False))
    return harmless(value) if isinstance(value, str) else value


class ReadOnly(CsvExport):
    """Written by the control loop; people look at it."""

    actions: tuple[str, ...] = ("export_csv",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
