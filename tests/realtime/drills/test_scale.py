"""What `drill scale` plays, and with how many workers it begins."""

from __future__ import annotations

import math
from typing import Any

import pytest

from realtime.drills.faults import Ended
from realtime.drills.load import Options
from realtime.drills.scale import Look, ScaleDrill, workers_at

NOTHING = {
    "date": "",
    "calendar": "",
    "start": "",
    "hours": None,
    "speed": 20.0,
    "max_workers": 8,
    "capacity": 150,
    "chart": "",
}


def settled(**asked: Any) -> Options:
    return ScaleDrill.settled(Options("sat-june-10k", 1_100, 30.0, extra=NOTHING | asked))


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [
        pytest.param({"start": "26:30", "hours": 2.5, "speed": 60.0}, 2.5, id="its night"),
        pytest.param({"date": "2027-06-12"}, 86.25, id="a date: the whole day"),
        pytest.param({"date": "2027-06-12", "speed": 60.0}, 28.75, id="faster"),
        pytest.param({"date": "2027-11-06"}, 89.25, id="the clocks change in the night: an hour more"),
    ],
)
def test_how_long_it_takes(asked: dict[str, Any], minutes: float) -> None:
    assert settled(**asked).duration_s / 60 == pytest.approx(minutes)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        *(({"speed": speed}, "--speed must be more than 0") for speed in (math.nan, math.inf, 0.0, -1.0)),
        *(({"hours": hours}, "--hours more than 0 and at most 72") for hours in (math.nan, math.inf, 0.0, -1.0, 1e12)),
        ({"start": "49:00"}, "the day is over by then"),
        ({"date": "9999-12-31"}, "--date 9999-12-31"),
    ],
)
def test_a_day_that_cannot_be_played_is_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        settled(**asked)


@pytest.mark.parametrize(("start", "workers"), [("", 1), ("12:00", 4), ("22:00", 8)])
def test_it_begins_with_as_many_workers_as_the_calendar_asks_for(start: str, workers: int) -> None:
    settled(date="2027-06-12", start=start)
    assert workers_at(ScaleDrill.day, ScaleDrill.limits) == workers


def played(*looks: Look, ended: int = 0, **facts: Any) -> list[str]:
    """What is broken after a part of the day that was seen so."""
    settled(date="2027-06-12", start="12:00", hours=1.0)
    drill: Any = object.__new__(ScaleDrill)
    drill.looks, drill.facts, drill.moves, drill._visits, drill.everyone = list(looks), facts, 0, 0, []
    drill.ended = [Ended("k.planner1", "planner", 4003, 1.0)] * ended
    drill._room, drill._most = 105.0, 8
    broken: list[str] = drill.promises()
    return broken


WELL = [Look(60.0 * n, 200, 2 + n // 100, 2 + n // 100, "") for n in range(200)]
LAME = Look(9_000.0, 200, 3, 3, "", ("w3.1: nothing heard of it for 1.2 s",))


@pytest.mark.parametrize(
    ("looks", "facts", "sentence"),
    [
        pytest.param([*WELL, LAME], {}, "", id="well, and a stall of a second"),
        pytest.param([*WELL, LAME, LAME, LAME], {}, "in 3 of 203 looks a worker took nobody", id="lame"),
        pytest.param([*WELL, Look(12_060.0, 400, 3, 3, "")], {}, "no room for everybody in 1 of 201 looks", id="no room"),
        pytest.param(WELL[:90], {}, "the number of workers never changed", id="nothing happened"),
        pytest.param(WELL, {"ended": 2}, "2 connections ended", id="cut off"),
    ],
)
def test_what_is_broken_is_said(looks: list[Look], facts: dict[str, Any], sentence: str) -> None:
    broken = "\n".join(played(*looks, **facts))
    assert broken == "" if not sentence else sentence in broken


def test_a_machine_without_time_for_it_is_named_beside_what_broke_and_excuses_nothing() -> None:
    assert len(played(*WELL, ended=1, cpu_short_percent=60.0)) == 2
    assert "60.0 % of the time" in played(*WELL, ended=1, cpu_short_percent=60.0)[1]
    assert len(played(*WELL, ended=1, cpu_short_percent=4.0)) == 1
    assert played(*WELL, cpu_short_percent=60.0) == []
