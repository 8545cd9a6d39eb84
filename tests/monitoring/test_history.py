"""The writer of history: exact roll-ups, a database that is away, what is forgotten, and delivery that does not notice."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, OperationalError

from monitoring import history
from monitoring.history import AGAIN_S, FORGET_EVERY_S, History, store, writing
from monitoring.models import PlacementEvent, Sample, ScalingEvent, WeddingMinute
from monitoring.models.samples import packed, unpacked
from monitoring.pruning import BATCH_ROWS, due, prune
from monitoring.rollup import RESOLUTIONS, Summary, merge, start_of
from monitoring.samples import TOTAL, Row
from realtime.committer import Committer
from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.draft import draft
from realtime.hub import Hub
from realtime.messages import Sender
from realtime.report import WeddingReport, WorkerReport
from tests.fakes import START, ManualClock, MemoryJournal, MemoryMailbox, Network, at_once, queue_of_calls
from tests.monitoring.days import rows
from tests.realtime.test_connection import FakeWire, pubs_of

database = pytest.mark.django_db(databases=["default", "history"])
START_S = int(START.timestamp())


def written(kept: History) -> None:
    in_thread, finish = queue_of_calls()
    finish(kept.write(in_thread))


def report(clock: ManualClock, second: int, slot: str = "w1") -> WorkerReport:
    at_s = clock.now().timestamp()
    wedding = WeddingReport({"guest": 5}, second, second * 5, {300: second * 5})
    return WorkerReport(
        f"{slot}.1", slot, "h", 1, at_s, START_S - 60.0, "ready", connections={"guest": 5}, weddings={"rose": wedding},
        deliveries_total={"P1": second * 5}, latency={"P1": {300: second * 5}}, gaps_total=0,
    )  # fmt: skip


def seconds(kept: History, clock: ManualClock, first: int, count: int) -> None:
    for second in range(first, first + count):
        kept.take([report(clock, second)], clock.now())
        clock.advance(1)


def stored() -> dict[tuple[int, str, int], Summary]:
    return {(row.step_s, row.scope, int(row.at.timestamp())): row.summary() for row in Sample.objects.all()}


def recomputed(made: list[Row]) -> dict[tuple[int, str, int], Summary]:
    """Every summary there should be, each straight from the raw ones."""
    groups: dict[tuple[int, str, int], list[Summary]] = {}
    for scope, at_s, summary in sorted(made, key=lambda row: row[1]):
        for resolution in RESOLUTIONS:
            groups.setdefault((resolution.step_s, scope, start_of(at_s, resolution.step_s)), []).append(summary)
    return {key: merge(parts) for key, parts in groups.items()}


@pytest.mark.parametrize("buckets", [{}, {"P0": {}}, {"P1": {0: 1, 1: 2, 1_025: 3_000_000}, "P3": {531: 7}}])
def test_packed_histograms_come_back(buckets: dict[str, dict[int, int]]) -> None:
    assert unpacked(packed(buckets)) == buckets


@database
def test_roll_ups_equal_recomputation_from_raw() -> None:
    made = [row for ten_seconds in rows(START_S, START_S + 5_400, 2, deliveries=5) for row in ten_seconds]
    for first in range(0, len(made), 271):  # in portions that fit no stretch
        store(made[first : first + 271])
    assert stored() == recomputed(made)


@database
def test_late_rows_and_rows_that_come_twice_change_nothing() -> None:
    made = [row for ten_seconds in rows(START_S, START_S + 1_800, 2, deliveries=5) for row in ten_seconds]
    late, usual = made[30:60], made[:30] + made[60:]
    store(usual)
    store(late)
    store(made[:90])
    assert stored() == recomputed(made)


@database
def test_the_history_database_may_stop_for_a_quarter_of_an_hour() -> None:
    clock, kept = ManualClock(), History()
    with patch.object(history, "store", side_effect=OperationalError("gone")):
        for second in range(0, 840, 10):
            seconds(kept, clock, second, 10)
            written(kept)
    assert Sample.objects.count() == 0 and kept.waiting > 83 * 2 and kept.dropped_total == 0
    seconds(kept, clock, 840, 1)
    written(kept)
    assert kept.waiting == 0
    total = Sample.objects.get(step_s=3_600, scope=TOTAL).summary()
    assert total.deliveries == 839 * 5 and WeddingMinute.objects.count() == 14
    assert sum(WeddingMinute.objects.values_list("deliveries", flat=True)) == 839 * 5


@database
def test_what_is_in_the_history_already_when_the_clock_is_set_back_is_counted_as_dropped() -> None:
    clock, kept = ManualClock(), History()
    seconds(kept, clock, 0, 601)
    written(kept)
    clock.set_s = -600.0
    seconds(kept, clock, 601, 601)
    written(kept)
    assert (Sample.objects.filter(step_s=10).count(), WeddingMinute.objects.count()) == (61 * 2, 10)
    assert kept.waiting == 0 and kept.dropped_total == 60 * 2 + 10


@database
def test_what_may_have_been_stored_before_is_not_counted_as_dropped() -> None:
    clock, kept = ManualClock(), History()
    seconds(kept, clock, 0, 11)
    with patch.object(history, "store", side_effect=lambda *args: (store(*args), _raise())):
        written(kept)
    assert kept.waiting == 2
    written(kept)
    assert kept.waiting == 0 and kept.dropped_total == 0 and Sample.objects.filter(step_s=10).count() == 2


def _raise() -> None:
    raise OperationalError("the answer was lost")


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SAMPLES_MAX", 20)
    monkeypatch.setattr(history, "MINUTES_MAX", 3)
    clock, kept = ManualClock(), History()
    with patch.object(history, "store", side_effect=OperationalError("gone")):
        for second in range(0, 601, 10):
            seconds(kept, clock, second, 10)
            written(kept)
            assert kept.waiting <= 23
    finished = 60 * 2 + 10
    assert kept.dropped_total == finished - kept.waiting


def test_what_the_database_refuses_for_good_is_dropped_and_counted() -> None:
    clock, kept = ManualClock(), History()
    seconds(kept, clock, 0, 11)
    with patch.object(history, "store", side_effect=DataError("too long")):
        written(kept)
    assert kept.waiting == 0 and kept.dropped_total == 2


def test_what_nobody_thought_of_is_dropped_and_counted_too() -> None:
    clock, kept = ManualClock(), History()
    seconds(kept, clock, 0, 11)
    with patch.object(history, "store", side_effect=ValueError("a row nobody thought of")):
        written(kept)
    assert kept.waiting == 0 and kept.dropped_total == 2


async def test_rows_that_were_being_written_when_the_loop_ended_are_written_at_the_end_or_counted() -> None:
    clock, kept, stored_rows = ManualClock(), History(), []
    seconds(kept, clock, 0, 11)

    async def hung(function: Any, *args: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def good(function: Any, *args: Any) -> None:
        stored_rows.append(len(args[0]))

    for _ in range(2):
        task = asyncio.create_task(kept.write(hung))
        await asyncio.sleep(0)
        assert kept.waiting == 2, "given to the database, which does not answer"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert kept.waiting == 2 and kept.dropped_total == 0
    await kept.write(good)
    assert stored_rows == [2] and kept.waiting == 0
    seconds(kept, clock, 11, 10)
    kept.leave()
    assert kept.waiting == 0 and kept.dropped_total == 2


@database
def test_a_slot_with_a_long_name_is_kept() -> None:
    store([("w" * 300, START_S, Summary(covered_ms=10_000))])
    assert {len(row.scope) for row in Sample.objects.all()} == {80}


async def test_delivery_does_not_notice_that_the_history_database_hangs_for_a_minute() -> None:
    """One loop delivers and hands over to history, as in a server that is alone; the thread of history never comes back."""
    clock = ManualClock()
    journal = MemoryJournal(clock, "rose")
    config = RealtimeConfig()
    hub = Hub(config, journal, MemoryMailbox(Network()), clock, at_once, "h.1.a")
    committer = Committer(config, journal, clock, at_once, committed=hub.committed, provisional=hub.provisional)
    wire, kept = FakeWire(), History()
    await hub.join(Connection("rose", Sender("other", "planner"), wire), "", None, "")
    asked: list[Any] = []

    async def hung(function: Any, *args: Any) -> None:
        asked.append(args)
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(writing(kept, clock, hung))
    for second in range(60):
        kept.take([report(clock, second)], clock.now())
        result = await committer.submit(draft(config, "rose", "chat.crew", {"text": "x"}))
        there = [pub.offset for pub in pubs_of(wire.sent) if pub.kind == "chat.crew"]
        assert result.offset == there[-1] == second + 1 == len(there), "acknowledged and there, at once"
        clock.advance(1)
        for _ in range(5):
            await asyncio.sleep(0)
    assert len(asked) == 1 and kept.waiting > 0 and kept.dropped_total == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await committer.stop()


async def run_for(kept: History, clock: ManualClock, first: int, count: int) -> None:
    """Seconds with a writer."""
    for second in range(first, first + count):
        await asyncio.sleep(0)
        kept.take([report(clock, second)], clock.now())
        clock.advance(1)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_the_writer_writes_every_ten_seconds_and_forgets_now_and_then() -> None:
    clock, kept, done = ManualClock(), History(), []

    async def noting(function: Any, *args: Any) -> None:
        done.append(function.__name__)

    task = asyncio.create_task(writing(kept, clock, noting))
    await run_for(kept, clock, 0, int(FORGET_EVERY_S + 2))
    assert done.count("store") == 60 and done.count("forget_samples") == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("began", range(10))
async def test_ten_seconds_are_stored_as_soon_as_they_are_over_whenever_the_writer_began(began: int) -> None:
    clock, kept, stored_s = ManualClock(), History(), []

    async def noting(function: Any, *args: Any) -> int:
        stored_s.append(clock.now().timestamp() - START_S)
        return 0

    await run_for(kept, clock, 0, began)
    task = asyncio.create_task(writing(kept, clock, noting))
    await run_for(kept, clock, began, 50)
    assert stored_s == [at_s for at_s in (11, 21, 31, 41, 51) if at_s <= began + 50]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_database_that_is_away_is_asked_again_after_a_while() -> None:
    clock, kept, asked_s = ManualClock(), History(), []
    away = True

    async def noting(function: Any, *args: Any) -> int:
        asked_s.append(clock.now().timestamp() - START_S)
        if away:
            raise OperationalError("refused")
        return 0

    task = asyncio.create_task(writing(kept, clock, noting))
    await run_for(kept, clock, 0, 36)
    assert asked_s == [11 + AGAIN_S * n for n in range(3)] and kept.waiting == 2 * 3
    away = False
    await run_for(kept, clock, 36, 26)
    assert asked_s[3:] == [41, 51, 61] and kept.waiting == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def old(step_s: int, count: int, now: datetime) -> None:
    """`count` rows that are too old, and three that are not."""
    kept = next(resolution.kept for resolution in RESOLUTIONS if resolution.step_s == step_s)
    first = int((now - kept).timestamp())
    ages = [
        *(first - n * step_s - 1 for n in range(count)),
        *(first + n * step_s + 300 for n in range(3)),
    ]  # the command has its own clock
    Sample.objects.bulk_create(Sample.of(step_s, TOTAL, at_s, Summary()) for at_s in ages)


@database
def test_what_is_too_old_goes_in_small_transactions() -> None:
    now = START + timedelta(days=800)
    old(10, BATCH_ROWS + 7, now)
    old(600, 5, now)
    assert [count for name, count in prune(now) if name == "samples of 10 s"] == [BATCH_ROWS, 7]
    assert Sample.objects.count() == 6
    assert [kind.rows.count() for kind in due(now)] == [0] * len(due(now))


@database
def test_the_command_counts_deletes_and_says_so() -> None:
    now = datetime.now(UTC)
    old(60, 4, now)
    PlacementEvent.objects.create(at=now - timedelta(days=91), wedding="v", source="w1", target="w2", sockets=1, reason="r")
    ScalingEvent.objects.create(
        at=now - timedelta(days=91), have=1, want=1, needed=1, formula="f", reason="r", mode="advise", acted=False, inputs={}
    )
    for dry in (True, False):
        out = StringIO()
        call_command("prune_history", dry_run=dry, json=True, stdout=out)
        found = json.loads(out.getvalue())
        assert found["dry_run"] is dry and {name: n for name, n in found["rows"].items() if n} == {
            "samples of 60 s": 4, "decisions of the scaler": 1, "moves of weddings": 1,
        }  # fmt: skip
        assert Sample.objects.count() == (7 if dry else 3)
    out = StringIO()
    call_command("prune_history", stdout=out)
    assert "0 rows deleted" in out.getvalue() and "samples of 10 s, older than 2 days" in out.getvalue()


@database
def test_without_its_tables_the_command_says_so() -> None:
    with (
        patch("monitoring.management.commands.prune_history.prune", side_effect=OperationalError("no such table")),
        pytest.raises(CommandError, match="no such table") as failed,
    ):
        call_command("prune_history")
    assert failed.value.returncode == 1


@pytest.mark.parametrize("resolution", RESOLUTIONS, ids=lambda resolution: f"{resolution.step_s}s")
def test_what_is_kept_of_eight_workers_is_what_was_reckoned(resolution: Any) -> None:
    """Rows of ops.md 4.6; all workers together are as many as one more."""
    most = {10: 138_240, 60: 161_280, 600: 103_680, 3_600: 140_160, 21_600: 23_360, 86_400: 5_840, 604_800: 834}
    rows_kept = 8 * resolution.kept.total_seconds() / resolution.step_s
    assert round(rows_kept) == most[resolution.step_s]
