"""A drill on the running fleet: fenced, refused beside a real wedding, and nothing of it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, Processes, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
REAL = """
from datetime import timedelta
from django.utils import timezone
from wedsync.weddings.models import Wedding
Wedding(slug="rose", names="A & B", venue="V", timezone="UTC", ceremony_at=timezone.now(), invited_guests=50).save()
"""
LEFT = """
from wedsync.weddings.models import Wedding
from realtime.models import JournalEntry, Room
print(Wedding.objects.filter(slug__startswith="drill-").count(), Room.objects.filter(name__startswith="drill-").count())
"""


def left(processes: Processes) -> str:
    return processes.manage("shell", "--no-imports", "-c", LEFT).strip()


def test_kill_on_the_running_fleet(processes: Processes) -> None:
    processes.migrate()
    fleet = processes.fleet()
    before = {row["pid"] for row in fleet.workers()}
    command = ("drill", "kill", "--live", "--connections", "60", "--minutes", "0.2", "--json")
    result = json.loads(processes.manage(*command))
    assert result["passed"] and result["load"]["connections"] == 60 and result["facts"]["cut_off"] > 0
    assert len(before - {row["pid"] for row in fleet.workers()}) == 1, "a worker of the running fleet was killed"
    assert left(processes) == "0 0"

    # The drill itself is killed: the next one clears away what it had made.
    drill = processes.start(sys.executable, "manage.py", *command, name="drill")
    wait_until(lambda: left(processes) != "0 0", "its weddings are there")
    drill.kill()
    drill.wait(10)
    abandoned = left(processes)
    drill = processes.start(sys.executable, "manage.py", *command, name="drill")
    wait_until(lambda: left(processes) not in ("0 0", abandoned) or logged(processes, "cleared away"), "they are cleared away")
    wait_until(lambda: left(processes) != "0 0", "its own are there")
    drill.send_signal(signal.SIGINT)
    assert drill.wait(60) == 2
    assert left(processes) == "0 0"

    processes.manage("shell", "--no-imports", "-c", REAL)
    refused = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=os.environ | processes.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2 and "rose has its day now" in refused.stderr
    assert {row["state"] for row in fleet.workers()} == {"ready"}


def logged(processes: Processes, text: str) -> bool:
    return any(text in log.read_text(errors="replace") for log in processes.folder.glob("*-drill.log"))


def children(pid: int) -> set[int]:
    """All processes below this one."""
    found, todo = set[int](), [pid]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            new = {int(child) for child in task.read_text(encoding="ascii").split()}
            found |= new
            todo += new
    return found


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short path: the name of a UNIX socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
@pytest.mark.parametrize("what", [("redis-kill",), ("all", "redis-kill")], ids=["one", "all"])
def test_a_drill_that_is_stopped_leaves_nothing(
    processes: Processes, temporary: Path, what: tuple[str, ...], how: signal.Signals
) -> None:
    command = ("drill", *what, "--connections", "30", "--minutes", "0.5")
    drill = processes.start(sys.executable, "manage.py", *command, name="drill", TMPDIR=str(temporary))
    wait_until(lambda: len(children(drill.pid)) >= 5, "its fleet and its Redis run", 60)
    below = children(drill.pid)
    drill.send_signal(how)
    drill.wait(60)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), "all its processes are gone")
    if how is signal.SIGKILL:
        assert list(temporary.iterdir()), "its folders are still there"
        processes.manage("drill", "load", "--connections", "6", "--minutes", "0.02", "--json", TMPDIR=str(temporary))
    else:
        assert drill.returncode == 2
    assert list(temporary.iterdir()) == []
