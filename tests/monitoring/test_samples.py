"""From reports to samples: restarts, silence, the first look."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.rollup import Summary, merge
from monitoring.samples import TOTAL, Row, Samples
from realtime.histogram import Buckets, index_of, merged
from realtime.report import WorkerReport
from tests.fakes import START, ManualClock


class Fleet:
    """Workers that say what a test lets them say, once a second; all rows that came out."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.samples = Samples()
        self.reports: dict[str, WorkerReport] = {}
        self.rows: list[Row] = []

    def say(self, slot: str, life: int = 1, started_s: float = 0.0, **fields: Any) -> None:
        worker = f"{slot}.{life}"
        at_s = self.clock.now().timestamp()
        fields = {"gaps_total": 0} | fields
        self.reports[worker] = WorkerReport(worker, slot, "h", 1, at_s, started_s or at_s - 60, "ready", **fields)

    def step(self, wanted: int | None = None) -> None:
        self.rows += self.samples.step(list(self.reports.values()), self.clock.now(), wanted)
        self.clock.advance(1)

    def of(self, scope: str) -> Summary:
        return merge([summary for name, _, summary in self.rows if name == scope])


def deliveries(n: int, ms: float = 4.0) -> dict[str, Any]:
    buckets: Buckets = {index_of(ms / 1_000): n}
    return {"deliveries_total": {"P1": n}, "latency": {"P1": buckets}}


def test_counters_are_differences_and_gauges_are_of_the_time() -> None:
    fleet = Fleet()
    for second in range(21):
        fleet.say("w1", connections={"guest": 10 + second}, busy=0.5, lag_s=0.001 * second, **deliveries(100 + second * 5))
        fleet.say("w2", connections={"planner": 2}, outbox_bytes=7, **deliveries(1_000))
        fleet.step(wanted=3)
    assert [start_s - int(START.timestamp()) for scope, start_s, _ in fleet.rows if scope == TOTAL] == [0, 10]
    total, w1, w2 = fleet.of(TOTAL), fleet.of("w1"), fleet.of("w2")
    assert w1.deliveries == 19 * 5 and w2.deliveries == 0, "what was before the first look is nobody's"
    assert total.deliveries == 19 * 5 and total.wanted_last == 3
    assert sum(total.latency["P1"].values()) == total.deliveries
    assert total.covered_ms == 19_000 and total.workers_ms == 2 * 19_000
    assert (total.connections_least, total.connections_most, total.connections_last) == (12, 31, 31)
    assert w1.cpu_us == 9_500_000 and w1.cpu_known_ms == 19_000 and w2.cpu_known_ms == 0 and w2.busy_most is None
    assert total.lag_s_most == 0.019 and total.outbox_bytes_most == 7 and total.faults == 0
    assert total.roles_ms == merge([w1, w2]).roles_ms


def test_a_restarted_worker_is_counted_from_its_start() -> None:
    fleet = Fleet()
    for second in range(5):
        fleet.say("w1", **deliveries(1_000 + second))
        fleet.step()
    fleet.reports.clear()
    fleet.say("w1", life=2, started_s=fleet.clock.now().timestamp() - 0.5, **deliveries(7))
    fleet.step()
    for _ in range(5):
        fleet.step()
    assert fleet.of("w1").deliveries == 4 + 7 and fleet.of(TOTAL).deliveries == 4 + 7
    assert fleet.samples.total.deliveries == 11


def test_a_silent_worker_s_last_words_are_no_reading() -> None:
    fleet = Fleet()
    for second in range(21):
        fleet.say("w1", connections={"guest": 5})
        if second < 3:
            fleet.say("w2", connections={"guest": 100}, busy=0.9)
        fleet.step()
    assert fleet.of("w2").connections_ms == 100 * 4_000, "believed for two seconds more"
    assert fleet.of(TOTAL).connections_last == 5 and fleet.of(TOTAL).workers_least == 1


def test_a_stall_of_the_loop_costs_no_count_and_is_covered() -> None:
    fleet = Fleet()
    fleet.say("w1", connections={"guest": 5}, **deliveries(0))
    fleet.step()
    fleet.clock.advance(4)
    fleet.say("w1", connections={"guest": 5}, **deliveries(50))
    fleet.step()
    fleet.clock.advance(10)
    fleet.step()
    assert fleet.of(TOTAL).deliveries == 50 and fleet.of(TOTAL).per_s(50) == 10.0


def test_nobody_there_is_a_reading() -> None:
    fleet = Fleet()
    for _ in range(11):
        fleet.step()
    total = fleet.of(TOTAL)
    assert total.connections_last == 0 and total.workers_most == 0 and total.lag_s_most is None and total.faults is None


def test_what_all_did_is_what_each_did() -> None:
    fleet = Fleet()
    for second in range(31):
        for slot, speed in (("w1", 3), ("w2", 5), ("w3", 7)):
            fleet.say(slot, joins_total=second * speed, **deliveries(second * speed, ms=speed))
        fleet.step()
    each = merge([fleet.of(slot) for slot in ("w1", "w2", "w3")])
    total = fleet.of(TOTAL)
    assert (total.deliveries, total.joins, total.latency) == (each.deliveries, each.joins, each.latency)
    assert merged(total.latency.values()) == {index_of(n / 1_000): n * 29 for n in (3, 5, 7)}


@pytest.mark.parametrize("away_s", [1, 8, 300])
def test_a_worker_that_was_absent_goes_on_where_it_was(away_s: int) -> None:
    fleet = Fleet()
    fleet.step()
    began_s = fleet.clock.now().timestamp()
    for second in range(away_s + 100):
        fleet.say("w1", started_s=began_s, joins_total=3, **deliveries(second * 5))
        if 50 <= second < 50 + away_s:
            fleet.reports.clear()
        fleet.step()
    assert fleet.samples.total.deliveries == (away_s + 99) * 5 and fleet.samples.total.joins == 3


def test_time_in_which_nobody_could_be_asked_is_not_covered() -> None:
    fleet = Fleet()
    for second in range(120):
        fleet.say("w1", connections={"guest": 0 if second == 100 else 1_000}, busy=0.5, **deliveries(second))
        if 20 <= second < 100:
            fleet.samples.skip(fleet.clock.now())
            fleet.clock.advance(1)
        else:
            fleet.step()
    total = fleet.of(TOTAL)
    assert total.covered_ms == (120 - 10 - 80 - 1) * 1_000 and total.deliveries == 109
    assert total.connections_ms == total.covered_ms * 1_000 - 1_000 * 1_000, "the first second after it stands for itself"
    assert total.counted_ms == (120 - 10 - 1) * 1_000 and total.per_s(total.deliveries) == 1.0
    for scope in (TOTAL, "w1"):
        rates = [summary.per_s(summary.deliveries) for name, _, summary in fleet.rows if name == scope]
        assert len(rates) == 3 and all(rate == 1.0 for rate in rates), "what came meanwhile is no burst of the moment after it"


def test_the_people_of_a_killed_worker_are_no_peak() -> None:
    fleet = Fleet()
    for second in range(21):
        if second < 12:
            fleet.say("w1", connections={"guest": 100})
        fleet.say("w2", connections={"guest": 100 if second < 12 else 200})
        fleet.step()
    total = fleet.of(TOTAL)
    assert (total.connections_least, total.connections_most, total.connections_last) == (200, 200, 200)
    assert total.connections_ms == 200 * total.covered_ms
