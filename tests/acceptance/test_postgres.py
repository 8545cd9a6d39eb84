"""The journal's contract on PostgreSQL."""

from __future__ import annotations

import sys

import pytest

from tests.postgres import Postgres
from tests.processes import Processes

pytestmark = pytest.mark.acceptance


def test_the_contract_holds_on_postgresql(postgres: Postgres, processes: Processes) -> None:
    env = {"DATABASE_URL": postgres.database(), "WEDSYNC_DEBUG": "1"}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contracts"]
    process = processes.start(*tests, name="contract", **env)
    assert process.wait(200) == 0
