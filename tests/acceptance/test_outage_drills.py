"""The drills about hostile clients, networks and what the fleet stands on pass, and fail when their guarantee is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.processes import ROOT, Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(200)]


def drill(processes: Processes, name: str, *more: str, **env: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, result, what it said on the error output)."""
    asked = [sys.executable, "manage.py", "drill", name, "--connections", "200", "--minutes", "0.1", "--json", *more]
    environment = os.environ | processes.env | env
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.mark.parametrize("name", ["poison", "db-out", "venue-wifi"])
def test_it_passes(processes: Processes, name: str) -> None:
    code, result, said = drill(processes, name)
    assert code in (0, 2), result["reason"]
    if code == 2:
        pytest.skip(said)  # refused by name: a privilege or a program is not here
    assert result["passed"] and result["load"]["violations"] == []


@pytest.mark.unhurried
def test_a_limit_that_takes_a_venue_for_an_attack_is_named(processes: Processes) -> None:
    limits = {"WEDSYNC_ADDRESS_PER_S": "20", "WEDSYNC_ADDRESS_BURST": "20"}
    code, result, said = drill(processes, "venue-wifi", **limits)
    if code == 2:
        pytest.skip(said)
    assert code == 1 and "were refused, as if it were an attack" in result["reason"]
