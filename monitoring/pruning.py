"""What history forgets, and when (ops.md 4.6). Never more than 5,000 rows in one transaction: nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from msgspec import Struct

from monitoring.day_reports import MINUTES_KEPT, keep
from monitoring.models.days import WeddingMinute
from monitoring.models.samples import Sample
from monitoring.models.scaling import PlacementEvent, ScalingEvent
from monitoring.rollup import RESOLUTIONS
from monitoring.router import ALIAS

BATCH_ROWS = 5_000
DECISIONS_KEPT = timedelta(days=90)
"""As long as the summaries of ten minutes, which show what they led to."""


class Due(Struct, frozen=True):
    """One kind of rows, and which of them are too old."""

    name: str
    kept: timedelta
    rows: QuerySet[Any]


def due(now: datetime) -> list[Due]:
    """All kinds, the finest first."""
    samples = [
        Due(f"samples of {r.step_s} s", r.kept, Sample.objects.filter(step_s=r.step_s, at__lt=now - r.kept))
        for r in RESOLUTIONS
    ]
    return [
        *samples,
        Due("minutes of weddings", MINUTES_KEPT, WeddingMinute.objects.filter(at__lt=now - MINUTES_KEPT)),
        Due("decisions of the scaler", DECISIONS_KEPT, ScalingEvent.objects.filter(at__lt=now - DECISIONS_KEPT)),
        Due("moves of weddings", DECISIONS_KEPT, PlacementEvent.objects.filter(at__lt=now - DECISIONS_KEPT)),
    ]


def prune(now: datetime) -> Iterator[tuple[str, int]]:
    """Delete all that is due, oldest first: (kind, rows) for each transaction. Raises DatabaseError."""
    for kind in due(now):
        rows = kind.rows
        if rows.model is WeddingMinute:
            # What is left of a day is its report: made and kept before its minutes go.
            slugs = list(rows.order_by().values_list("wedding", flat=True).distinct())
            rows = rows.exclude(wedding__in=[slug for slug in slugs if not keep(slug, now, now - MINUTES_KEPT)])
        while count := forget(rows):
            yield kind.name, count


def forget(rows: QuerySet[Any]) -> int:
    """Delete one batch; gives how many."""
    with transaction.atomic(using=ALIAS):
        oldest = list(rows.order_by("at").values_list("pk", flat=True)[:BATCH_ROWS])
        return rows.model._default_manager.filter(pk__in=oldest).delete()[0] if oldest else 0


def forget_samples(now: datetime) -> int:
    """One batch of each length of samples: what the writer does now and then, so that nothing grows without bound."""
    return sum(forget(kind.rows) for kind in due(now) if kind.rows.model is Sample)
