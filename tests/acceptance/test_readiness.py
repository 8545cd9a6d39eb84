"""What a drill found counts for readiness: the commands as an operator runs them, one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.processes import ROOT, Processes

pytestmark = pytest.mark.acceptance


def readiness(processes: Processes) -> tuple[int, dict[str, str]]:
    """(exit code, {check: verdict})."""
    command = [sys.executable, "manage.py", "readiness", "2027-06-12", "--workers", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | processes.env, capture_output=True, text=True, timeout=60)
    return done.returncode, {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}


def test_a_drill_that_passed_counts_and_one_that_was_spoiled_on_purpose_does_not(processes: Processes) -> None:
    processes.migrate()
    code, checks = readiness(processes)
    assert (code, checks["drill load"], checks["forecast"]) == (1, "stop", "ok")
    drill = ("drill", "load", "--profile", "sat-june-10k-x10", "--minutes", "0.05", "--connections", "60", "--json")
    processes.manage(*drill)
    assert readiness(processes)[1]["drill load"] == "ok"
    with pytest.raises(AssertionError):  # it fails, as it should
        processes.manage(*drill, "--fault", "drop")
    assert readiness(processes)[1]["drill load"] == "ok"
