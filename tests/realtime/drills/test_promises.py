"""Each drill names what did not come true, in a sentence, and says nothing when all is well."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.drills.course import Moment
from realtime.drills.db_out import DatabaseOutDrill
from realtime.drills.faults import Ended, FaultDrill
from realtime.drills.fd_limit import KNOCKS, FilesDrill
from realtime.drills.haproxy import HAProxyDrill
from realtime.drills.load import Options, member_id
from realtime.drills.megaroom import MegaroomDrill
from realtime.drills.mobile import Air, MobileDrill
from realtime.drills.networks import NETWORKS
from realtime.drills.outage import JournalOutage
from realtime.drills.poison import NEWCOMERS, PoisonDrill
from realtime.drills.proxy import ChaosProxy
from realtime.drills.server import Running
from realtime.drills.storm import StormDrill
from realtime.drills.venue_wifi import VenueWifiDrill
from realtime.drills.wrong_clock import ClockDrill
from realtime.histogram import Histogram
from realtime.kinds import Priority
from tests.fakes import ManualClock

CUT_OFF = Ended("load-0.guest9", "guest", 1006, 5.0, 5.5)


def made(drill: type[FaultDrill], profile: str = "sat-june-10k-x10") -> Any:
    options = Options(profile, 200, 12.0)
    return drill(options, Running("http://127.0.0.1:1", 1, ""), lambda room, member: "ticket", ManualClock(), lambda *_: None)


def said(drill: Any) -> str:
    return "\n".join(drill.promises())


def test_poison() -> None:
    drill = made(PoisonDrill)
    drill._wrong, drill.facts = [], {"processes_ended": "", "let_in": NEWCOMERS}
    assert said(drill) == ""
    drill._wrong, drill.facts = ["a deflate bomb: is still connected"], {"processes_ended": "w1.1", "let_in": 3}
    drill.ended.append(CUT_OFF)
    for sentence in ("a deflate bomb: is still connected", "w1.1", f"3 of {NEWCOMERS} newcomers", "1 connections of others"):
        assert sentence in said(drill)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({}, ""),
        ({"newcomers_let_in": 3}, "3 of 20 newcomers got in after the reload"),
        ({"drained_worker_s_exit_status": 1}, "the drained worker ended with 1"),
        ({"whole_weddings_percent_before": 80.0}, "80.0 % of the weddings were whole on one worker before"),
        ({"fullest_over_mean_after": 1.3}, "the fullest worker had 1.3 times the mean after"),
    ],
)
def test_haproxy(facts: dict[str, Any], sentence: str) -> None:
    drill: Any = object.__new__(HAProxyDrill)
    drill.options, drill.ended, drill.moves = Options("sat-june-10k", 4_000, 60.0), [], 0
    drill.facts = {f"whole_weddings_percent_{when}": 97.0 for when in ("before", "after", "in_the_end")}
    drill.facts |= {f"fullest_over_mean_{when}": 1.2 for when in ("before", "after", "in_the_end")}
    drill.facts |= {"newcomers_let_in": 20, "drained_worker_s_exit_status": 0} | facts
    assert said(drill) == "" if not sentence else sentence in said(drill)
    drill.ended.append(CUT_OFF)
    assert "1 connections ended (codes [1006])" in said(drill)


def test_fd_limit() -> None:
    drill = made(FilesDrill)
    well = {"noticed_s": 0.3, "ready_again_s": 0.1, "let_in": KNOCKS, "processes_ended": ""}
    drill._reason, drill.facts = "98 of 100 open files are used", dict(well)
    assert said(drill) == ""
    drill._reason, drill.facts = "nothing heard of it for 1.2 s", well | {"noticed_s": 3.0, "let_in": 2}
    drill.ended.append(CUT_OFF)
    for sentence in (
        "not back after 3.0 s",
        f"2 of {KNOCKS} newcomers",
        "does not say that it lacks open files",
        "1 connections",
    ):
        assert sentence in said(drill)


class Outage(JournalOutage):
    """With readings of its own."""

    def _note(self) -> None:
        pass


WELL = {
    "kept_by_clients": 9, "alarms_missed": 0, "ephemeral_refused": 0, "not_stored_in_time": 0, "processes_ended": "",
    "last_alarm_s": 0.3, "p3_p99_before_ms": 4.0, "p3_p99_meanwhile_ms": 60.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, ""),
        ({"kept_by_clients": 0}, "the outage was not felt"),
        ({"alarms_missed": 2}, "2 who were connected did not hear of an emergency"),
        ({"last_alarm_s": 1.4}, "heard of an emergency after 1.4 s"),
        ({"ephemeral_refused": 7}, "7 ephemeral publications were refused"),
        ({"p3_p99_meanwhile_ms": 900.0}, "p99 went from 4.0 to 900.0 ms"),
        ({"p3_p99_meanwhile_ms": None}, "nothing ephemeral was measured"),
        ({"not_stored_in_time": 4}, "4 publications that were kept are not stored"),
        ({"processes_ended": "control.1"}, "control.1"),
    ],
)
def test_an_outage_of_the_journal(changed: dict[str, object], sentence: str) -> None:
    drill = made(Outage)
    drill.facts = WELL | changed
    assert said(drill) == "" if not sentence else sentence in said(drill)


def test_who_did_not_hear_of_an_emergency_is_counted() -> None:
    drill = made(DatabaseOutDrill)
    drill._alarms = {"a1": (10.0, {"m1", "m2", "m3"})}
    drill._rang["a1"] = {"m1": 10.2, "m2": 10.9}
    drill._note()
    assert drill.facts["alarms_missed"] == 1 and drill.facts["last_alarm_s"] == 0.9


def test_venue_wifi() -> None:
    drill = made(VenueWifiDrill)
    drill._back_s, drill.facts = 100.0, {"refused": 0}
    people = [member_id(drill.plan[n], m) for n, m in drill._venue]
    drill.ended = [Ended(person, "guest", 1006, 95.0, 101.0) for person in people]
    assert said(drill) == ""
    drill.ended[0].back_s, drill.ended[1].back_s, drill.facts["refused"] = None, 107.5, 3
    drill.ended.append(Ended("somebody else", "guest", 1006, 95.0, 96.0))
    for sentence in (
        "1 of 100 people of the venue are not back",
        "back after 7.5 s",
        "3 connections",
        "1 connections of others",
    ):
        assert sentence in said(drill)


def test_megaroom() -> None:
    drill = made(MegaroomDrill, "megaroom-and-others")
    drill._last, drill._beside, drill._met, drill._alert_s = {}, Histogram(), Histogram(), 0.0
    assert "nothing was measured" in said(drill)
    crowd = len(drill.plan[0].roles)
    drill._last = {"a1": (0.4, crowd)}
    drill._beside.record(0.005, 100)
    assert said(drill) == ""
    drill._last["a2"] = 1.3, crowd - 1
    drill._beside.record(0.3, 10)
    for sentence in (f"the last of {crowd} had the alert after 1.300 s", f"only {crowd - 1} of {crowd}", "p99 30"):
        assert sentence in said(drill)


def test_clock() -> None:
    drill = made(ClockDrill)
    drill._unfit, drill.facts = set(), {"let_in": 40, "knocked": 40, "processes_ended": ""}
    assert said(drill) == ""
    drill._unfit, drill.facts["let_in"] = {"w2.1 was lame: nobody hears it"}, 20
    assert "w2.1 was lame" in said(drill) and "20 of 40 newcomers with a fresh ticket" in said(drill)


def test_a_worker_that_takes_everything_ephemeral_for_old_is_found() -> None:
    drill = made(ClockDrill)
    drill._unfit, drill.facts = set(), {"let_in": 40, "knocked": 40, "processes_ended": ""}
    load = drill._judge(0.0, 0)
    load.ephemeral_expected, load.ephemeral_delivered = 1_000, 995
    assert drill._found(load, drill.promises).passed
    load.ephemeral_delivered = 900
    assert "100 of 1000 ephemeral deliveries did not arrive" in drill._found(load, drill.promises).reason


def test_mobile() -> None:
    drill = made(MobileDrill)
    airs = {network.name: Air(network, ChaosProxy("127.0.0.1", 1), None) for network in NETWORKS}
    drill._airs, drill._snapshots, drill.moved_s, drill.back_s = airs, 200, 100.0, 200.0
    drill._seen = {name: Histogram() for name in airs}
    drill._seen["good"].record(0.05, 100)
    for k, (name, since_s) in enumerate((("crowded", 100.0), ("dead-zones", 200.0))):
        airs[name].people = [(0, k)]
        drill.ended.append(Ended(member_id(drill.plan[0], k), "guest", 1006, since_s, since_s + 1.0))
    assert said(drill) == "" and drill.facts["gapped_last_back_s"] == 1.0
    drill.ended[0].back_s, drill.ended[1].back_s = None, 209.0
    drill._seen["good"].record(0.9, 100)
    for sentence in ("1 of 1 phones (crowded) did not come back", "the last of the phones (dead-zones) was back after 9.0 s"):
        assert sentence in said(drill)
    assert "from one good network to another: p99 9" in said(drill)


def test_storm() -> None:
    drill = made(StormDrill)
    course = drill.history.course
    course.begin(0.0)
    course.moments.append(Moment(4.0, "injection", "x"))
    drill.at_s, drill.facts = 4.0, {"dispatcher_us_each": 20.0}
    drill.ended = [Ended("load-0.planner0", "planner", 1006, 4.0, 6.0), Ended("load-0.guest9", "guest", 1006, 4.0, 11.0)]
    course.record(Priority.P1, 0.09, 5.0, together=True)
    course.record(Priority.P1, 3.0, 5.0)
    assert said(drill) == "" and drill.facts["others_urgent_deliveries"] == 1
    drill.ended[0].back_s, drill.ended[1].back_s = 7.5, 13.0
    course.record(Priority.P0, 0.25, 5.0, together=True)
    for sentence in (
        "the last planner was back after 3.5 s",
        "the last one was back after 9.0 s",
        "p99 250.0 ms between those",
    ):
        assert sentence in said(drill)
