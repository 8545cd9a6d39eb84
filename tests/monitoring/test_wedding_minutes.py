"""Minutes of weddings: nothing that a worker counted while it was watched is missing, whenever the watch began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitoring.day_report import Minute
from monitoring.wedding_minutes import WeddingMinutes
from realtime.report import WeddingReport, WorkerReport

NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


def watched(begins_s: int, counts: list[int], guests: int = 3) -> list[Minute]:
    """The minutes of a worker that starts at `begins_s` seconds past noon and has delivered `counts[n]` n seconds later."""
    minutes, found = WeddingMinutes(), []
    start = NOON + timedelta(seconds=begins_s)
    for second, total in enumerate(counts):
        now = start + timedelta(seconds=second)
        rose = WeddingReport({"guest": guests}, deliveries_total=total, latency={5: total} if total else {})
        report = WorkerReport("h.1.a", "w1", "h", 1, now.timestamp(), start.timestamp(), "ready", weddings={"rose": rose})
        found += [minute for _, minute in minutes.step([report], now)]
    return found


def test_a_minute_that_was_hardly_seen_counts_with_the_next_one() -> None:
    (minute,) = watched(45, [40] * 16 + [50] * 60)
    assert (minute.at, minute.deliveries, minute.latency) == (NOON + timedelta(minutes=1), 50, {5: 50})
    assert minute.connections == {"guest": 3.0}


@given(st.integers(0, 59), st.lists(st.integers(0, 9), min_size=150, max_size=200))
def test_whenever_the_watch_begins_all_is_counted_once(begins_s: int, sent: list[int]) -> None:
    totals = [sum(sent[: n + 1]) for n in range(len(sent))]
    minutes = watched(begins_s, totals)
    seen = int(minutes[-1].at.timestamp() - NOON.timestamp()) + 60 - begins_s
    assert sum(minute.deliveries for minute in minutes) == totals[seen - 1]
    assert all(minute.connections == {"guest": 3.0} for minute in minutes)
    assert len({minute.at for minute in minutes}) == len(minutes)


def test_a_worker_that_was_absent_is_counted_once() -> None:
    minutes, found = WeddingMinutes(), []
    minutes.step([], NOON)
    for second in range(1, 241):
        now = NOON + timedelta(seconds=second)
        rose = WeddingReport({"guest": 3}, deliveries_total=second, latency={5: second})
        report = WorkerReport("h.1.a", "w1", "h", 1, now.timestamp(), NOON.timestamp(), "ready", weddings={"rose": rose})
        found += minutes.step([] if 70 <= second < 80 else [report], now)
    assert sum(minute.deliveries for _, minute in found) == 239
