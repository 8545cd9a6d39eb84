"""The drills that break something pass against our fleet; each is what an operator runs, only shorter."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from realtime.drills.postgres import binaries
from tests.conftest import missing
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def drill(processes: Processes, name: str, minutes: float) -> dict[str, Any]:
    printed = processes.manage("drill", name, "--connections", "200", "--minutes", str(minutes), "--json")
    result: dict[str, Any] = json.loads(printed)
    assert result["passed"] and result["load"]["violations"] == []
    return result


def test_a_killed_worker(processes: Processes) -> None:
    facts = drill(processes, "kill", 0.3)["facts"]
    assert facts["cut_off"] > 0
    assert facts["planners_back_s"] <= 1.0
    assert facts["p99_back_s"] <= 5.0


def test_a_rolling_deploy_is_seen_by_nobody(processes: Processes) -> None:
    result = drill(processes, "deploy", 0.5)
    assert result["facts"]["moves"] >= 200
    assert result["facts"]["connections_ended"] == result["load"]["gaps"] == 0


def test_a_worker_that_stands_still_gets_nobody(processes: Processes) -> None:
    facts = drill(processes, "hang", 0.7)["facts"]
    assert facts["lame_s"] <= 2.0
    assert facts["let_in"] == facts["knocked"]


def test_everybody_comes_back_at_once(processes: Processes) -> None:
    assert drill(processes, "storm", 0.3)["facts"]["cut_off"] == 200


def test_redis_is_gone_and_comes_back_empty(processes: Processes) -> None:
    facts = drill(processes, "redis-kill", 1.0)["facts"]
    assert facts["gone_s"] == 30.0
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
    part = ("--date", "2027-06-12", "--from", "11:15", "--hours", "1.25", "--speed", "75", "--people", "0.1")
    result = json.loads(processes.manage("drill", "scale", *part, "--json"))
    assert result["passed"], result["reason"]
    assert result["facts"]["scale_outs"] >= 1
    assert result["facts"]["seconds_short_of_room"] == result["facts"]["connections_ended"] == result["load"]["gaps"] == 0
