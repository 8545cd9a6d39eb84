"""A disk that is full before or while a drill is played: it says so in a sentence, and leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from realtime.drills.mounts import may_mount, mount, unmount
from tests.processes import answers, die_with_parent, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried, pytest.mark.timeout(200)]
DISK_BYTES = 24 * 1_048_576


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk. A short path: the name of a UNIX socket has at most 107 bytes."""
    if not may_mount():
        pytest.skip("a tmpfs needs root")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        mount(Path(folder), DISK_BYTES)
        try:
            yield Path(folder)
        finally:
            unmount(Path(folder))


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(65_536))
            except OSError:
                return ballast


def servers(disk: Path) -> list[str]:
    """What the logs of servers on it say they listen at."""
    return [found for log in disk.glob("*/server.log") for found in re.findall(r"http://[\d.]+:\d+", log.read_text())]


def started(disk: Path) -> subprocess.Popen[str]:
    asked = ["drill", "kill", "--connections", "60", "--minutes", "0.2", "--json"]
    env = os.environ | {"TMPDIR": str(disk), "WEDSYNC_VAR": str(disk / "var")}
    return subprocess.Popen(
        [sys.executable, "manage.py", *asked], cwd=settings.BASE_DIR, env=env, text=True, preexec_fn=die_with_parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def left(disk: Path) -> list[str]:
    return [path.name for path in disk.iterdir() if path.name not in ("var", "ballast")]


def test_it_is_full_in_the_middle(disk: Path) -> None:
    drill = started(disk)
    wait_until(lambda: any(answers(f"{url}/readyz") for url in servers(disk)), "its server is ready", 60)
    ballast = fill(disk)
    out, said = drill.communicate(timeout=120)
    assert drill.returncode in (0, 1, 2) and "Traceback" not in said, said
    assert left(disk) == [], (out, said)
    ballast.unlink()


def test_it_is_killed_on_a_full_disk_and_the_next_one_clears_up(disk: Path) -> None:
    drill = started(disk)
    wait_until(lambda: any(path.stat().st_size for path in disk.glob("*/server.log")), "its server runs", 60)
    fill(disk)
    drill.kill()
    drill.communicate(timeout=60)
    assert left(disk), "its folder is still there"
    env = os.environ | {"TMPDIR": str(disk), "WEDSYNC_VAR": str(disk / "var")}
    asked = [sys.executable, "manage.py", "drill", "load", "--connections", "6", "--minutes", "0.02", "--json"]
    done = subprocess.run(asked, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert left(disk) == [] and "cleared away what an earlier drill left" in done.stderr
