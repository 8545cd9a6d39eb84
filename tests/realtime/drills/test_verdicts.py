"""Whatever a drill injects: one message dropped, doubled, swapped or leaked fails it by name; so does a hidden alert."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.drill_runs import Fired
from realtime.client_events import Via
from realtime.clock import TurnedClock
from realtime.drills import running
from realtime.drills.catalogue import DRILLS
from realtime.drills.checker import SENTENCES
from realtime.drills.faults import FaultDrill, FaultResult
from realtime.drills.history import History
from realtime.drills.load import Options
from realtime.drills.redis_kill import HELD_S
from realtime.drills.rehearsal import JUNE
from realtime.drills.replay import SAMPLE
from realtime.drills.scale import ScaleDrill
from realtime.drills.server import Running
from tests.fakes import ManualClock
from tests.realtime.drills.histories import ROOM, Row, play, rebuilt

NOON = datetime(2027, 6, 12, 12, tzinfo=UTC)
OWN_OPTIONS: dict[str, dict[str, Any]] = {
    "rehearsal": {"date": "2027-06-12", "speed": 300.0, "calendar": str(JUNE)},
    "replay": {"file": str(SAMPLE), "speed": 60.0},
    "scale": {
        "calendar": "", "date": "2027-06-12", "start": "", "hours": None, "speed": 60.0, "capacity": 150, "max_workers": 8,
        "chart": "",
    },
}  # fmt: skip
KINDS_SAID = ["chat.guests", "chat.crew", "chat.guests", "chat.crew"]
CREW = 1
"""The place of a message that guests may not see."""
PLANNER, GUEST = 0, 2


def dropped(rows: list[Row]) -> list[Row]:
    return rows[:1] + rows[2:]


def doubled(rows: list[Row]) -> list[Row]:
    return [*rows[:2], *rows[1:]]


def swapped(rows: list[Row]) -> list[Row]:
    return [rows[0], rows[2], rows[1], *rows[3:]]


def leaked(rows: list[Row]) -> list[Row]:
    return [rows[0], (CREW, CREW + 1, rows[0][1], int(Via.LIVE)), *rows[1:]]


FAULTS: dict[str, tuple[int, Callable[[list[Row]], list[Row]]]] = {
    "lost": (PLANNER, dropped),
    "twice": (PLANNER, doubled),
    "out_of_order": (PLANNER, swapped),
    "leaked": (GUEST, leaked),
}


def made(drill: type[FaultDrill]) -> Any:
    """As `manage.py drill` makes it, before it is played."""
    options = drill.settled(Options(drill.usual_profile, 60, 30.0, extra=OWN_OPTIONS.get(drill.name, {})))
    if issubclass(drill, ScaleDrill):
        drill.turned = TurnedClock(drill.day.begins, NOON, 60.0)
    server = Running("http://127.0.0.1:1", 1, "", env={"REDIS_URL": "redis://127.0.0.1:1"})
    return drill(options, server, lambda room, member: "ticket", ManualClock(), lambda *_: None)


def judged(drill: Any, history: History) -> FaultResult:
    """Its verdict when all that it promises beside the history came true."""
    drill.history = history
    found: FaultResult = drill._found(drill._judge(0.0, 0), lambda: [])
    return found


@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_a_right_history_passes(drill: type[FaultDrill]) -> None:
    result = judged(made(drill), play(KINDS_SAID))
    assert (result.passed, result.reason) == (True, "")


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_one_spoiled_message_fails_every_drill_by_name(drill: type[FaultDrill], name: str) -> None:
    history = play(KINDS_SAID)
    member, spoil = FAULTS[name]
    rebuilt(history.members[member], spoil)
    result = judged(made(drill), history)
    assert not result.passed
    assert f"1 {name}: {ROOM}/chat." in result.reason and SENTENCES[name] in result.reason


ALERTING = {name: drill for name, drill in DRILLS.items() if drill.alerts}


def due(drill: Any) -> tuple[str, ...]:
    drill.facts["gone_s"] = HELD_S  # redis-kill: long enough that somebody has to be told
    found: tuple[str, ...] = drill.due()
    return found


@pytest.mark.parametrize("told", [True, False], ids=["told", "hidden"])
@pytest.mark.parametrize("drill", ALERTING.values(), ids=ALERTING)
async def test_one_hidden_alert_fails_every_drill_that_sets_one_off(
    drill: type[FaultDrill], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(drill)
    result, rules = judged(one, play(KINDS_SAID)), due(one)
    assert rules == drill.alerts
    fired = [Fired(rule, NOON + timedelta(seconds=3), rule) for rule in rules] if told else []
    monkeypatch.setattr(running, "fired", lambda since, history: fired)
    monkeypatch.setattr(running, "ALARM_S", -1.0)  # as if it had been waited for
    await running._alarms(result, rules, NOON, 0.0, Path("of its fleet"), ManualClock())
    assert result.passed is told
    assert result.reason == ("" if told else "\n".join(f"the alert {rule} should have fired and did not" for rule in rules))
