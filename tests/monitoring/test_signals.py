"""What is read from reports: measured or absent."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitoring.signals import FORGET_S, OBJECTIVES, SIGNALS, Signals, Table, beyond, of
from realtime.histogram import Buckets, index_of
from realtime.report import WeddingReport, WorkerReport

W1, W2, ROSE = of("worker", "w1"), of("worker", "w2"), of("wedding", "rose")
P01 = of("slo", OBJECTIVES[0][0].name)


def bucket(ms: float) -> int:
    return index_of(ms / 1_000)


class Fleet:
    """Two workers that report once a second, until a test says otherwise."""

    def __init__(self) -> None:
        self.signals = Signals()
        self.now_s = 1_000.0
        self.reports: dict[str, WorkerReport] = {}

    def say(self, slot: str, *, life: int = 1, **fields: Any) -> None:
        worker = f"{slot}.{life}"
        self.reports[worker] = WorkerReport(
            worker=worker, slot=slot, host="h", pid=1, at_s=self.now_s, **{"state": "ready", "started_s": 0.0} | fields
        )

    def read(self, seconds: float = 1.0) -> Table:
        table = self.signals.read(list(self.reports.values()), self.now_s)
        assert set(table) <= set(SIGNALS)
        self.now_s += seconds
        return table


def test_a_worker_that_stops_reporting_is_silent_and_its_other_readings_are_unknown() -> None:
    fleet = Fleet()
    for _ in range(3):
        fleet.say("w1", lag_s=0.01, busy=0.3)
        fleet.say("w2", lag_s=0.02, busy=0.3)
        table = fleet.read()
    assert table["worker.silent"] == {W1: 0.0, W2: 0.0} and table["worker.lag"] == {W1: 0.01, W2: 0.02}
    for _ in range(5):
        fleet.say("w1", lag_s=0.01, busy=0.3)
        table = fleet.read()
    assert table["worker.silent"] == {W1: 0.0, W2: 5.0}
    assert table["worker.lag"][W2] is None and table["worker.busy"][W2] is None and table["journal.down"][W2] is None
    del fleet.reports["w2.1"]  # its report ran out
    fleet.say("w1")
    assert fleet.read()["worker.silent"][W2] == 6.0
    fleet.say("w2", life=2)
    assert fleet.read()["worker.silent"][W2] == 0.0  # somebody fills its place


def test_who_dies_is_told_even_where_another_is_started_at_once_and_a_deploy_is_not() -> None:
    for state, silent in (("ready", [1.0, 2.0, 3.0, 0.0]), ("draining", [1.0, 0.0, 0.0, 0.0])):
        fleet = Fleet()
        fleet.say("w1", state=state, busy=0.9)
        fleet.read()
        seen = [fleet.read()["worker.silent"][W1]]
        for _ in range(3):
            fleet.say("w1", life=2, busy=0.1)
            table = fleet.read()
            seen.append(table["worker.silent"][W1])
            assert table["worker.busy"][W1] == 0.1
        assert seen == silent, state


def test_a_worker_that_drained_is_not_missing() -> None:
    fleet = Fleet()
    fleet.say("w1")
    fleet.say("w2", state="draining")
    fleet.read()
    del fleet.reports["w2.1"]
    fleet.say("w1")
    assert fleet.read()["worker.silent"] == {W1: 0.0}


def test_the_last_report_of_a_worker_that_drained_is_no_silence() -> None:
    for people, silent in (({}, [0.0, 1.0, None, None]), ({"guest": 3}, [0.0, 1.0, 2.0, 3.0])):
        fleet = Fleet()
        fleet.say("w2", state="draining", connections=people)
        seen = []
        for _ in range(4):
            fleet.say("w1")
            seen.append(fleet.read()["worker.silent"].get(W2))
        assert seen == silent, people


def test_a_worker_that_never_comes_back_is_forgotten() -> None:
    fleet = Fleet()
    fleet.say("w2")
    fleet.read(FORGET_S + 1)
    fleet.reports.clear()
    fleet.say("w1")
    assert set(fleet.read()["worker.silent"]) == {W1}


def test_reports_that_cannot_be_read_are_no_readings() -> None:
    fleet = Fleet()
    fleet.say("w1")
    fleet.read()
    assert fleet.signals.read(None, fleet.now_s + 3) == {"registry.silent": {(): 4.0}}


def test_what_was_not_measured_is_none() -> None:
    fleet = Fleet()
    fleet.say("w1")
    table = fleet.read()
    for name in ("worker.lag", "worker.busy", "promise.faults"):
        assert table[name] == {W1: None}
    assert table["layer.down"] == {} == table["canary.lost"]  # there is nobody else
    assert table["burn.5m"][P01] is None


def test_counters_count_from_the_worker_s_own_start() -> None:
    fleet = Fleet()
    for total in (5, 5, 7):
        fleet.say("w1", gaps_total=total, joins_refused_total=total)
        table = fleet.read()
    assert table["promise.faults"] == {W1: 2.0} and table["joins.refused"] == {(): 2.0}
    del fleet.reports["w1.1"]
    fleet.say("w1", life=2, gaps_total=0, joins_refused_total=0)
    assert fleet.read()["promise.faults"] == {W1: 2.0}
    fleet.now_s += 300
    fleet.say("w1", life=2, gaps_total=0, joins_refused_total=0)
    assert fleet.read()["promise.faults"] == {W1: 0.0}


def test_what_was_late_while_nobody_could_be_asked_burns_nothing_now() -> None:
    """Late for a minute at the beginning of ten in which the registry was away: all is well since nine minutes."""
    fleet = Fleet()
    for second in range(1_230):
        late = min(60, max(0, second - 600))
        rose = WeddingReport({"guest": 9}, deliveries_total=second, latency={bucket(300): late, bucket(3): second - late})
        fleet.say(
            "w1", latency={"P1": {bucket(3): 100 * (second - late), bucket(300): 100 * late}}, weddings={"rose": rose},
            joins_refused_total=late, shed_total={"guest": late}, gaps_total=int(second >= 610),
        )  # fmt: skip
        if not 600 <= second < 1_200:
            table = fleet.read()
        else:
            fleet.signals.read(None, fleet.now_s)
            fleet.now_s += 1
    assert table["burn.5m"][P01] == 0.0 and table["burn.30m"][P01] == 0.0
    assert (table["burn.2h"][P01] or 0) > 0, "in the long run it counts"
    assert table["joins.refused"] == {(): 0.0} and table["shed.publications"] == {of("role", "guest"): 0.0}
    assert not table["wedding.late"].get(of("wedding", "rose")), "nothing late in the last minute"
    assert table["promise.faults"] == {W1: 1.0}, "a broken promise is told, whenever it was broken"


def test_a_silent_worker_is_not_known_to_be_without_faults() -> None:
    fleet, readings = Fleet(), []
    for second in range(330):
        if second < 30:
            fleet.say("w1", gaps_total=int(second >= 20))
        else:
            fleet.reports.clear()
        readings.append(fleet.read()["promise.faults"][W1])
    assert readings[19:21] == [0.0, 1.0] and set(readings[20:319]) == {1.0} and set(readings[320:]) == {None}


def test_late_deliveries_burn_the_budget() -> None:
    fleet = Fleet()
    for second in range(60):
        latency = {"P1": {bucket(3): 90 * second, bucket(200): 10 * second}}
        fleet.say("w1", latency=latency)
        table = fleet.read()
    assert table["burn.5m"][P01] == pytest.approx(0.1 / 0.001)


def test_on_a_quiet_evening_the_canaries_speak() -> None:
    fleet = Fleet()
    for _ in range(120):
        fleet.say("w1", canaries={"w2.1": 0.3})
        fleet.say("w2", canaries={"w1.1": 0.004})
        table = fleet.read()
    assert table["burn.5m"][P01] == pytest.approx(0.5 / 0.001)


def test_a_worker_that_comes_or_goes_burns_no_budget_by_its_missing_canaries() -> None:
    fleet = Fleet()
    for second in range(200):
        gone, young = second >= 20, second >= 22
        fleet.say("w1", canaries={"w2.1": None if gone else 0.004} | ({"w2.2": None} if 22 <= second < 26 else {}))
        if not gone:
            fleet.say("w2", canaries={"w1.1": 0.004})
        if young:
            fleet.say("w2", life=2, started_s=1_022.0, canaries={"w1.1": None if second < 26 else 0.004})
        table = fleet.read()
        assert table["burn.5m"].get(P01) in (0.0, None), second
    assert table["burn.5m"][P01] == 0.0


def test_a_deaf_pair_is_seen_from_the_one_that_is_not_heard() -> None:
    fleet = Fleet()
    fleet.say("w1", canaries={"w2.1": None, "w3.1": 0.004})
    fleet.say("w2", canaries={"w1.1": 0.004, "w3.1": 0.004})
    fleet.say("w3", canaries={"w1.1": 0.004, "w2.1": 0.004})
    assert fleet.read()["canary.lost"] == {W1: 0.0, W2: 0.5, of("worker", "w3"): 0.0}


def test_one_slow_wedding_shows_and_the_others_do_not() -> None:
    fleet = Fleet()
    for second in range(1, 40):
        weddings = {
            name: WeddingReport({"planner": 1}, second, 20 * second, {bucket(ms): 20 * second})
            for name, ms in (("slow", 400), ("fine", 3))
        }
        fleet.say("w1", weddings=weddings)
        table = fleet.read()
    assert table["wedding.late"] == {of("wedding", "slow"): 1.0, of("wedding", "fine"): 0.0}
    for _ in range(61):
        fleet.say("w1", weddings=weddings)
        table = fleet.read()
    assert set(table["wedding.late"].values()) == {None}  # nothing was said: nobody knows
    fleet.say("w1")
    assert fleet.read()["wedding.late"] == {}


def test_a_planner_that_left_the_others_alone() -> None:
    fleet = Fleet()
    wedding = of("wedding", "ours")
    for roles in ({"guest": 5}, {"guest": 5, "planner": 1}, {"guest": 5}, {"guest": 5}):
        fleet.say("w1", weddings={"ours": WeddingReport(roles)})
        table = fleet.read()
    assert table["wedding.planner_away"] == {wedding: 2.0}
    fleet.say("w1", weddings={"ours": WeddingReport({})})
    assert fleet.read()["wedding.planner_away"] == {}  # everybody went home
    fleet.say("w1", weddings={"ours": WeddingReport({"vendor": 1})})
    assert fleet.read()["wedding.planner_away"] == {}  # a new day: nobody was left alone


def test_the_edge_of_an_objective_is_exact_to_the_bucket() -> None:
    buckets: Buckets = {bucket(99): 1, bucket(100): 1, bucket(103): 1, bucket(500): 1}
    assert beyond(buckets, 0.1) == 2


def test_a_clock_that_is_wrong_shows_whichever_way_it_is_wrong() -> None:
    fleet = Fleet()
    for offset_s in (0.0, 300.0, -300.0):
        fleet.say("w1")
        fleet.say("w2")
        worker = fleet.reports["w2.1"]
        fleet.reports["w2.1"] = replace(worker, at_s=worker.at_s + offset_s)
        table = fleet.read()
        assert table["clock.offset"] == {W1: 0.0, W2: abs(offset_s)}
    for _ in range(4):
        fleet.say("w1")
        table = fleet.read()
    assert table["clock.offset"] == {W1: 0.0, W2: None}, "of a silent worker nothing is known"


def test_who_was_missing_before_somebody_else_looks_is_missing_until_it_is_back() -> None:
    fleet = Fleet()
    fleet.signals.recall("worker.silent", W2, fleet.now_s - 40)
    fleet.signals.recall("wedding.planner_away", ROSE, fleet.now_s - 70)
    for second in range(5):
        fleet.say("w1", weddings={"rose": WeddingReport({"guest": 3})})
        table = fleet.read()
        assert table["worker.silent"] == {W1: 0.0, W2: 40.0 + second}
        assert table["worker.lag"][W2] is None and table["journal.down"][W2] is None
        assert table["wedding.planner_away"] == {ROSE: 70.0 + second}
    for _ in range(2):
        fleet.say("w1", weddings={"rose": WeddingReport({"guest": 3, "planner": 1})})
        fleet.say("w2", life=2)
        table = fleet.read()
    assert table["worker.silent"] == {W1: 0.0, W2: 0.0} and table["wedding.planner_away"] == {ROSE: 0.0}


def test_the_last_report_of_who_is_missing_is_no_return() -> None:
    fleet = Fleet()
    fleet.say("w2")
    fleet.now_s += 4
    fleet.signals.recall("worker.silent", W2, fleet.now_s - 4)
    assert [fleet.read()["worker.silent"][W2] for _ in range(3)] == [4.0, 5.0, 6.0]


def test_who_was_missing_and_never_comes_back_is_forgotten() -> None:
    fleet = Fleet()
    fleet.signals.recall("worker.silent", W2, fleet.now_s - 40)
    fleet.say("w1")
    assert W2 in fleet.read(FORGET_S - 40)["worker.silent"]
    fleet.say("w1")
    fleet.now_s += 1
    assert set(fleet.read()["worker.silent"]) == {W1}
