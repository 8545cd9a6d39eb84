"""GO or NO-GO, and the reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.readiness import REQUIRED, Capacity, Drilled, Facts, PageTest, Step, judge

NOW = datetime(2027, 6, 11, 18, 0, tzinfo=UTC)
PEAK_AT = datetime(2027, 6, 12, 20, 50, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAGE = PageTest(NOW - HOUR, "ada", ("duty",), (), NOW - HOUR + timedelta(seconds=42), "bob")
READY = Facts(
    date(2027, 6, 12),
    212,
    peak=9_640,
    peak_at=PEAK_AT,
    capacity=Capacity(7_250, NOW - DAY),
    workers_max=3,
    drills={name: Drilled(NOW - DAY, None) for name in REQUIRED},
    rehearsed_at=NOW - HOUR,
    page=PAGE,
    watched=True,
    disk_free=0.5,
    plan=(Step(PEAK_AT - 6 * HOUR, 2), Step(PEAK_AT - HOUR, 3)),
)


def facts(**changed: Any) -> Facts:
    return msgspec.structs.replace(READY, **changed)


def test_a_day_that_was_prepared_is_go() -> None:
    answer = judge(READY, NOW)
    assert answer.go and answer.reasons == []
    assert answer.line == (
        "Saturday 12 June 2027: 212 weddings, forecast peak 9,640 people at 20:50 UTC, measured for 21,750: GO"
    )
    assert {check.verdict for check in answer.checks} == {"ok"}


def page(**changed: Any) -> PageTest:
    return msgspec.structs.replace(PAGE, **changed)


ONLY = "The only worker carries, with a quarter in reserve, 5,800 people; 9,640 are expected."
NOBODY = "The last test page did not reach anybody: no receiver takes pages of the whole fleet."
DRILLS = {name: Drilled(NOW - DAY, None) for name in REQUIRED}


@pytest.mark.parametrize(
    ("changed", "name", "said"),
    [
        ({"peak": None}, "forecast", "How many people will come is not known."),
        ({"capacity": None}, "capacity", "Nobody has measured what a worker carries."),
        ({"peak": 14_501}, "capacity", "2 of 3 workers carry 14,500 people; 14,501 are expected."),
        ({"workers_max": 1}, "capacity", ONLY),
        ({"plan": (Step(PEAK_AT, 4),)}, "plan", "1 step, at most 4 workers from 20:50 UTC. Only 3 are allowed."),
        ({"drills": {}}, "drill load", "It has never passed here."),
        ({"drills": DRILLS | {"kill": Drilled(NOW - 8 * DAY, None)}}, "drill kill", "It passed 8 days ago, which is too long."),
        ({"drills": DRILLS | {"kill": Drilled(NOW - DAY, NOW - HOUR)}}, "drill kill", "It failed 1 hour ago."),
        ({"redis": True}, "drill redis-kill", "It has never passed here."),
        ({"page": None}, "paging", "Nobody has tried whether a page reaches somebody."),
        ({"page": page(missed=("mail",))}, "paging", "The last test page did not reach these receivers: mail."),
        ({"page": page(reached=())}, "paging", NOBODY),
        ({"page": page(acknowledged_at=None)}, "paging", "Nobody acknowledged the last test page."),
        ({"page": page(acknowledged_at=NOW - 9 * DAY)}, "paging", "The last test was 9 days ago, which is too long."),
        ({"firing": ("journal-down worker w1",)}, "alerts", "Pages are firing: journal-down worker w1."),
        ({"disk_free": 0.05}, "disk", "5% of the disk is free."),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:30],
)
def test_what_is_missing_stops_and_says_what_to_do(changed: dict[str, Any], name: str, said: str) -> None:
    answer = judge(facts(**changed), NOW)
    assert not answer.go and answer.line.endswith("NO-GO")
    reason = next(check for check in answer.reasons if check.name == name)
    assert reason.said == said and reason.do


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"unknown": ("rose-garden",)}, "forecast"),
        ({"capacity": Capacity(7_250, NOW - 40 * DAY)}, "capacity"),
        ({"workers_max": 1, "peak": 5_000, "plan": ()}, "capacity"),
        ({"plan": ()}, "plan"),
        ({"drills": DRILLS | {"load": Drilled(NOW - DAY, None, 200)}}, "drill load"),
        ({"rehearsed_at": None}, "rehearsal"),
        ({"incidents": ("Incident 3: slow",)}, "incidents"),
        ({"silences": ("journal-down until Sunday",)}, "silences"),
        ({"disk_free": 0.15}, "disk"),
        ({"disk_free": None}, "disk"),
    ],
)
def test_a_risk_is_told_and_does_not_stop(changed: dict[str, Any], name: str) -> None:
    answer = judge(facts(**changed), NOW)
    assert answer.go
    risk = next(check for check in answer.checks if check.name == name)
    assert risk.verdict == "risk" and risk.do


def test_a_drill_with_as_many_as_are_expected_is_no_risk() -> None:
    answer = judge(facts(drills=DRILLS | {"load": Drilled(NOW - DAY, None, 14_500), "kill": Drilled(NOW - DAY, None, 1)}), NOW)
    assert {check.verdict for check in answer.checks if check.name.startswith("drill")} == {"ok"}


def test_a_day_without_weddings_needs_no_plan() -> None:
    answer = judge(facts(weddings=0, peak=None, peak_at=None, plan=(), rehearsed_at=None), NOW)
    assert answer.go and answer.line == "Saturday 12 June 2027: 0 weddings, measured for 21,750: GO"


@given(st.sets(st.sampled_from(["peak", "capacity", "workers_max", "page", "drills"]), min_size=1))
def test_what_is_not_known_never_goes(missing: set[str]) -> None:
    changed = {name: ({} if name == "drills" else None) for name in missing}
    answer = judge(facts(**changed), NOW)
    assert not answer.go and answer.reasons
