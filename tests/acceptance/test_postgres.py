"""The journal's contract on PostgreSQL."""

from __future__ import annotations

import json
import sys

import pytest

from realtime.drills.postgres import Postgres
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried]


def test_the_contract_holds_on_postgresql(postgres: Postgres, processes: Processes) -> None:
    env = {"DATABASE_URL": postgres.database(), "WEDSYNC_DEBUG": "1"}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contracts"]
    process = processes.start(*tests, name="contract", **env)
    assert process.wait(200) == 0


def test_alerts_and_incidents_live_on_postgresql(postgres: Postgres, processes: Processes) -> None:
    env = {"HISTORY_DATABASE_URL": postgres.database(), "WEDSYNC_DEBUG": "1"}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/monitoring"]
    process = processes.start(*tests, name="monitoring", **env)
    assert process.wait(200) == 0


JOURNAL = """
import json
from realtime.models import JournalEntry, OutboxEntry, Room
rows = JournalEntry.objects.order_by("room__name", "offset").values_list("room__name", "offset", "member", "client_id")
print(json.dumps({
    "entries": [list(row) for row in rows],
    "rooms": dict(Room.objects.values_list("name", "last_offset")),
    "outbox": OutboxEntry.objects.count(),
}))
"""


def test_six_processes_in_the_same_weddings_neither_deadlock_nor_leave_a_hole(postgres: Postgres, processes: Processes) -> None:
    processes.env["DATABASE_URL"] = postgres.database()
    rooms = sorted(processes.demo()["weddings"])
    program = [sys.executable, "-m", "tests.acceptance.crowd_writer"]
    crowd = [processes.start(*program, f"p{n}", "150", str(n), *rooms, name="crowd") for n in range(6)]
    assert [writer.wait(120) for writer in crowd] == [0] * 6
    found = json.loads(processes.manage("shell", "-v0", "-c", JOURNAL).strip().splitlines()[-1])
    assert found["outbox"] == 0
    for room in rooms:
        offsets = [offset for name, offset, _, _ in found["entries"] if name == room]
        assert offsets == list(range(1, found["rooms"][room] + 1))
    named = {(room, client_id) for room, _, _, client_id in found["entries"] if client_id}
    assert {client_id for _, client_id in named} == {f"p{n}-{i}" for n in range(6) for i in range(150)}
