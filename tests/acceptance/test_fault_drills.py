"""The drills of a Saturday pass with 200 people and 12 seconds each: what an operator runs, only shorter."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from realtime.drills.postgres import binaries
from tests.conftest import missing
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def drill(processes: Processes, name: str, minutes: float = 0.2, *more: str, passes: bool = True) -> dict[str, Any]:
    command = ("drill", name, "--connections", "200", "--minutes", str(minutes), "--json", *more)
    code, printed = processes.managed(*command)
    result: dict[str, Any] = json.loads(printed)
    assert (code, result["passed"]) == (0 if passes else 1, passes), result["reason"]
    return result


def test_an_ordinary_saturday(processes: Processes) -> None:
    result = drill(processes, "load")
    assert result["load"]["expected"] and not result["moments"]


def test_a_killed_worker(processes: Processes) -> None:
    result = drill(processes, "kill")
    assert result["facts"]["cut_off"] > 0
    assert result["facts"]["planners_back_s"] <= 1.0
    assert result["facts"]["p99_back_s"] <= 5.0
    assert [moment["sort"] for moment in result["moments"] if moment["sort"] != "alert"] == ["injection", "restoration"]
    assert {sample["people"] for sample in result["samples"]} and result["about"]["configuration"]


def test_a_rolling_deploy_is_seen_by_nobody(processes: Processes) -> None:
    result = drill(processes, "deploy")
    assert result["facts"]["moves"] >= 200
    assert result["facts"]["connections_ended"] == result["load"]["gaps"] == 0


def test_a_worker_that_stands_still_gets_nobody_and_somebody_is_paged(processes: Processes) -> None:
    result = drill(processes, "hang", 0.5)
    assert result["facts"]["lame_s"] <= 2.0
    assert result["facts"]["let_in"] == result["facts"]["knocked"]
    assert {"worker-missing"} <= {alarm["rule"] for alarm in result["alarms"] if alarm["required"]}


def test_everybody_comes_back_at_once(processes: Processes) -> None:
    assert drill(processes, "storm")["facts"]["cut_off"] == 200


def test_redis_is_gone_and_comes_back_empty(processes: Processes) -> None:
    facts = drill(processes, "redis-kill")["facts"]
    assert facts["gone_s"] == 6.0
    assert facts["p99_meanwhile_ms"] <= 1_000


def test_phones_that_stop_reading(processes: Processes) -> None:
    facts = drill(processes, "slow-clients", 0.3)["facts"]
    assert facts["sent_away"] >= facts["stuck"] >= 10
    assert facts["rss_most_bytes"] < 1.1 * facts["rss_before_bytes"]


def test_sentinel_names_another_redis(processes: Processes) -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server", "redis-server")
    facts = drill(processes, "redis-failover", 0.5)["facts"]
    assert facts["killed_failover_s"] and facts["stopped_failover_s"]
    assert facts["on_others"] >= 50
    assert facts["p99_meanwhile_ms"] <= 1_000


def test_redis_is_slow_and_then_silent(processes: Processes) -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server", "redis-server")
    facts = drill(processes, "redis-slow", 0.4)["facts"]
    assert facts["on_others"] >= 50
    assert facts["p99_meanwhile_ms"] <= 1_000


def test_workers_come_before_the_people_of_a_june_saturday(processes: Processes) -> None:
    if binaries() is None:
        missing("PostgreSQL", "postgresql")
    part = ("--date", "2027-06-12", "--from", "11:15", "--hours", "1.25", "--speed", "75")
    result = json.loads(processes.manage("drill", "scale", *part, "--json"))
    assert result["passed"], result["reason"]
    assert result["facts"]["scale_outs"] >= 1
    assert result["facts"]["seconds_short_of_room"] == result["facts"]["connections_ended"] == result["load"]["gaps"] == 0


def test_workers_come_and_go_behind_haproxy(processes: Processes) -> None:
    for program, package in (("haproxy", "haproxy"), ("redis-server", "redis-server")):
        if shutil.which(program) is None:
            missing(program, package)
    if binaries() is None:
        missing("PostgreSQL", "postgresql")
    facts = drill(processes, "haproxy", 0.3)["facts"]
    assert facts["connections_ended"] == 0 and facts["moves"] > 0
    assert facts["newcomers_let_in"] == facts["newcomers"] == 20


# -- a guarantee that is broken fails the drill, and the verdict names it ------------------------------------------------


@pytest.mark.unhurried
@pytest.mark.parametrize(
    ("name", "fault", "broken"),
    [("kill", "drop", "lost"), ("storm", "double", "twice"), ("deploy", "swap", "out_of_order")],
)
def test_one_spoiled_message_fails_a_drill(processes: Processes, name: str, fault: str, broken: str) -> None:
    result = drill(processes, name, 0.15, "--connections", "60", "--fault", fault, passes=False)
    assert f"1 {broken}: " in result["reason"]
    assert broken in {violation["name"] for violation in result["load"]["violations"]}


def test_one_hidden_alert_fails_a_drill(processes: Processes) -> None:
    result = drill(processes, "hang", 0.3, "--connections", "60", "--fault", "hide", passes=False)
    assert result["reason"] == "the alert worker-missing should have fired and did not"


# -- whole days ------------------------------------------------------------------------------------------------------------

SAID = """
from realtime.messages import Sender
from realtime.publish import publish
who = {role: Sender(f"m-{role}", role, role) for role in ("planner", "vendor", "guest")}
for n in range(20):
    publish("rose-garden", "chat.crew", {"text": f"crew {n}"}, sender=who["planner" if n % 2 else "vendor"])
    publish("rose-garden", "chat.guests", {"text": f"guests {n}"}, sender=who["guest"])
"""


@pytest.mark.unhurried
def test_a_day_log_is_played_again(processes: Processes) -> None:
    processes.demo()
    processes.manage("shell", "--no-imports", "-c", SAID)
    file = str(processes.folder / "rose.jsonl")
    processes.manage("day_log", "export", "rose-garden", file)
    result = json.loads(processes.manage("drill", "replay", file, "--speed", "30", "--json"))
    assert result["passed"] and result["facts"]["said_again"] == result["facts"]["in_the_log"] >= 40
    assert result["facts"]["refused"] == 0 and result["facts"]["in_order"] != "no"


def test_a_saturday_is_rehearsed_and_readiness_knows(processes: Processes) -> None:
    processes.migrate()
    processes.manage("import_calendar", "wedsync/weddings/demo/calendar/saturday-june.csv")
    page = processes.folder / "rehearsal.html"
    command = (
        "drill",
        "rehearsal",
        "--date",
        "2027-06-12",
        "--speed",
        "2000",
        "--connections",
        "120",
        "--html",
        str(page),
        "--json",
    )
    code, printed = processes.managed(*command)
    result = json.loads(printed)
    assert code == 0, result["reason"]
    assert "270 weddings" in result["story"][0]
    assert sum(moment["sort"] == "injection" for moment in result["moments"]) == 3
    assert "Rehearsal of Saturday 12 June 2027" in page.read_text(encoding="utf-8")
    checks = json.loads(processes.managed("readiness", "2027-06-12", "--json")[1])["checks"]
    assert {check["name"]: check["verdict"] for check in checks}["rehearsal"] == "ok"
