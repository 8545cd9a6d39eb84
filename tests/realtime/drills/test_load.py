"""What the load drill refuses to play, and how it words its verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from msgspec.structs import replace

from realtime.drills.checker import Report, Violation
from realtime.drills.load import Latency, Options, Result, late, member_id, profile_of, unkept
from realtime.drills.workloads import PROFILES, rooms

RIGHT = Options("sat-june-10k", 100, 60.0)
CLEAN = Report([], 10, 10, 5, 5, 0)
FAST = Latency(10, 1.0, 2.0, 3.0)


def result(**changes: object) -> Result:
    latency = dict.fromkeys(("P0", "P1", "P2", "P3"), FAST)
    right = Result("quiet", 5, 1, 60.0, 1, 10, 10, 10, 5, 5, 0, 0, 0, 0, 0, 10.0, latency=latency)
    return replace(right, **changes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (replace(RIGHT, profile="nope"), "--profile nope: there is none"),
        (replace(RIGHT, duration_s=0.0), "--minutes"),
        (replace(RIGHT, connections=10**7), "open files"),
    ],
)
def test_what_cannot_be_played_is_said_plainly(options: Options, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        profile_of(options)


def test_a_burst_has_weddings_at_their_peak() -> None:
    assert profile_of(RIGHT).peak_share == 0
    assert profile_of(replace(RIGHT, burst=True)).peak_share == 0.25


def test_a_clean_and_fast_run_passes() -> None:
    assert unkept(result(), CLEAN, fault_missing=False) + late(result()) == []


@pytest.mark.parametrize(
    ("changes", "report", "fault_missing", "sentence"),
    [
        ({}, Report([Violation("lost", 1, ["x"], "gone")], 1, 1, 0, 0, 0), False, "1 lost: x - gone"),
        ({}, CLEAN, True, "could not be placed"),
        ({"behind": 2}, CLEAN, False, "2 members had not caught up"),
        ({"unanswered": 3}, CLEAN, False, "3 durable publications have no answer"),
        ({"latency": {"P0": FAST, "P1": Latency(9, 1.0, 90.0, 101.0)}}, CLEAN, False, "P1 p99 101.0 ms is over 100 ms"),
    ],
)
def test_every_reason_to_fail_is_named(changes: dict[str, object], report: Report, fault_missing: bool, sentence: str) -> None:
    assert sentence in "\n".join(unkept(result(**changes), report, fault_missing) + late(result(**changes)))


def test_what_was_not_measured_fails_nothing() -> None:
    nothing = Latency(0, None, None, None)
    assert late(result(latency={"P0": nothing, "P1": nothing})) == []


def test_members_are_told_apart() -> None:
    plan = rooms(PROFILES["sat-june-10k"], 1_000)
    ids = [member_id(room, n) for room in plan for n in range(len(room.roles))]
    assert len(set(ids)) == 1_000


def test_the_command_lists_its_profiles() -> None:
    out = StringIO()
    call_command("drill", "list", "--json", stdout=out)
    assert set(json.loads(out.getvalue())["profiles"]) == set(PROFILES)


def test_misuse_is_exit_code_two() -> None:
    with pytest.raises(CommandError, match="--profile nope") as error:
        call_command("drill", "load", "--profile", "nope")
    assert error.value.returncode == 2


def drill(*arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "manage.py", "drill", "load", "--profile", "sat-june-10k-x10", "--minutes", "0.05", "--json"]
    done = subprocess.run(
        [*command, *arguments], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.acceptance
def test_a_server_that_keeps_its_promises_passes() -> None:
    code, report = drill("--connections", "60", "--burst")
    assert (code, report["passed"], report["reason"]) == (0, True, "")
    assert report["load"]["publishes"] and report["load"]["deliveries"] and report["load"]["expected"]


@pytest.mark.acceptance
@pytest.mark.unhurried
@pytest.mark.parametrize(
    ("fault", "name"), [("drop", "lost"), ("double", "twice"), ("swap", "out_of_order"), ("leak", "leaked")]
)
def test_one_spoiled_frame_fails_the_drill_by_name(fault: str, name: str) -> None:
    code, report = drill("--connections", "40", "--fault", fault)
    assert (code, report["passed"]) == (1, False)
    assert name in [violation["name"] for violation in report["load"]["violations"]]
