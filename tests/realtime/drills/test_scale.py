"""What `drill scale` plays, and with how many workers it begins."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.drills.load import Options
from realtime.drills.scale import ScaleDrill, workers_at

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


@pytest.mark.parametrize(("start", "workers"), [("", 1), ("12:00", 4), ("22:00", 8)])
def test_it_begins_with_as_many_workers_as_the_calendar_asks_for(start: str, workers: int) -> None:
    settled(date="2027-06-12", start=start)
    assert workers_at(ScaleDrill.day, ScaleDrill.limits) == workers
