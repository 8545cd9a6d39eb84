"""The one writer of what monitoring measures: samples of the fleet, minutes of the weddings. Nothing waits for it.

The control loop hands over what every second brought (`take`); a thread of its own stores each ten seconds soon after they are
over. While the database is away a quarter of an hour waits; then the oldest is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from monitoring.models.days import WeddingMinute
from monitoring.models.samples import COLUMNS, Sample
from monitoring.pruning import forget_samples
from monitoring.rollup import HISTOGRAMS, RAW, RESOLUTIONS, Summary, merge, start_of
from monitoring.router import ALIAS
from monitoring.samples import Row, Samples
from monitoring.wedding_minutes import WeddingMinutes
from realtime.clock import Clock
from realtime.report import WorkerReport

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Not every ten seconds: one that began shortly before the end of such a stretch would keep the rows waiting until the next."""
AGAIN_S = 10.0
"""After which a database that is away is asked again."""
FORGET_EVERY_S = 600.0
SAMPLES_MAX = 15 * 6 * 100
"""A quarter of an hour of a hundred workers."""
MINUTES_MAX = 15 * 2_500
"""A quarter of an hour of the 2,174 weddings of 100,000 people."""


class History:
    """Takes once a second, writes now and then. `dropped_total`: rows that will never be in the database, those among them
    whose time is there already since the clock was set back."""

    def __init__(self, dropped_total: int = 0) -> None:
        self.samples = Samples()
        self.dropped_total = dropped_total
        self._unsure = False
        self._minutes = WeddingMinutes()
        self._rows: list[Row] = []
        self._days: list[WeddingMinute] = []
        self._under_way = 0

    @property
    def waiting(self) -> int:
        """Rows that are not in the database yet, those among them that it has been given and has not answered for."""
        return len(self._rows) + len(self._days) + self._under_way

    def take(self, reports: Sequence[WorkerReport] | None, now: datetime, wanted: int | None = None) -> None:
        """One second of the fleet. None: the reports could not be read; that time stays empty."""
        if reports is None:
            self.samples.skip(now)
        else:
            self._rows += self.samples.step(reports, now, wanted)
            self._days += [WeddingMinute.of(wedding, minute) for wedding, minute in self._minutes.step(reports, now)]
            self._trim()

    async def write(self, in_thread: Callable[..., Any]) -> bool:
        """Store what waits. A database that is away (False) gets it later; what it refuses for good is dropped. Raises only
        when it is cancelled: then all of it waits as before, since twice is once."""
        if not self.waiting:
            return True
        rows, days = self._rows, self._days
        self._rows, self._days = [], []
        unsure, self._unsure = self._unsure, False
        try:
            repeated = await self._store(in_thread, rows, days)
            if not unsure:  # else it was perhaps we who stored them
                self.dropped_total += repeated
        except (OperationalError, InterfaceError) as error:
            self._again(rows, days)
            logger.error("%d rows wait for the history database: %s", self.waiting, error)
            return False
        except asyncio.CancelledError:
            self._again(rows, days)
            raise
        except Exception:
            self.dropped_total += len(rows) + len(days)
            logger.exception("the history database refused %d rows; they are dropped", len(rows) + len(days))
        return True

    async def _store(self, in_thread: Callable[..., Any], rows: list[Row], days: list[WeddingMinute]) -> int:
        self._under_way = len(rows) + len(days)
        try:
            repeated: int = await in_thread(store, rows, days)
            return repeated
        finally:
            self._under_way = 0

    def leave(self) -> None:
        """Nobody writes any more: what waits is dropped and counted."""
        if self.waiting:
            logger.error("%d rows are not in the history: there was no time to write them", self.waiting)
        self.dropped_total += self.waiting
        self._rows, self._days = [], []

    def _again(self, rows: list[Row], days: list[WeddingMinute]) -> None:
        self._unsure = True
        self._rows, self._days = rows + self._rows, days + self._days
        self._trim()

    def _trim(self) -> None:
        for kept, most in ((self._rows, SAMPLES_MAX), (self._days, MINUTES_MAX)):
            self.dropped_total += max(0, len(kept) - most)
            del kept[: max(0, len(kept) - most)]


async def writing(history: History, clock: Clock, in_thread: Callable[..., Any]) -> None:
    """Write, and forget what is old, for as long as the lease is held."""
    forgot_s, pause_s = clock.monotonic(), LOOK_EVERY_S
    while True:
        await clock.sleep(pause_s)
        try:
            pause_s = LOOK_EVERY_S if await history.write(in_thread) else AGAIN_S
            if clock.monotonic() - forgot_s >= FORGET_EVERY_S:
                forgot_s = clock.monotonic()
                await in_thread(forget_samples, clock.now())
        except Exception:
            logger.exception("history could not be written; the next attempt starts afresh")


def store(rows: Sequence[Row], minutes: Sequence[WeddingMinute] = ()) -> int:
    """Keep all of this and roll it up, or nothing. Twice is once: gives how many were there already, as after the clock was set
    back. Raises DatabaseError."""
    raw = [Sample.of(RAW.step_s, scope, start_s, summary) for scope, start_s, summary in rows]
    with transaction.atomic(using=ALIAS):
        names = {minute.wedding for minute in minutes}
        repeated = _kept(minutes, WeddingMinute.objects.filter(wedding__in=names))
        repeated += _kept(raw, Sample.objects.filter(step_s=RAW.step_s))
        roll_up(start_s for _, start_s, _ in rows)
    return repeated


def _kept(made: Sequence[Any], among: QuerySet[Any]) -> int:
    """Add those that are not there. Gives how many are."""
    there = among.filter(at__in={row.at for row in made})
    before = there.count()
    among.model.objects.bulk_create(made, batch_size=500, ignore_conflicts=True)
    return len(made) - (there.count() - before)


def roll_up(starts: Iterable[int]) -> None:
    """Make anew every longer stretch that holds one of these beginnings (UTC seconds), each from the next shorter ones."""
    touched = sorted(set(starts))
    for finer, coarser in zip(RESOLUTIONS, RESOLUTIONS[1:], strict=False):
        touched = sorted({start_of(start, coarser.step_s) for start in touched})
        for start in touched:
            rolled = [
                Sample.of(coarser.step_s, scope, start, merge(parts))
                for scope, parts in _parts(finer.step_s, start, coarser.step_s)
            ]
            Sample.objects.bulk_create(
                rolled,
                batch_size=500,
                update_conflicts=True,
                unique_fields=["step_s", "scope", "at"],
                update_fields=[*COLUMNS, *HISTOGRAMS],
            )


def _parts(step_s: int, start_s: int, span_s: int) -> list[tuple[str, list[Summary]]]:
    """[(scope, its summaries of [start, start + span), oldest first)]."""
    start = datetime.fromtimestamp(start_s, UTC)
    found: dict[str, list[Summary]] = {}
    rows = Sample.objects.filter(step_s=step_s, at__gte=start, at__lt=start + timedelta(seconds=span_s))
    for row in rows.order_by("at"):
        found.setdefault(row.scope, []).append(row.summary())
    return sorted(found.items())
