"""`script/server` as a newcomer uses it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.processes import ROOT, answers, die_with_parent, free_port, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried]


def members(group: int) -> list[psutil.Process]:
    """The processes of a process group that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def test_it_starts_says_how_to_get_in_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "out"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WEDSYNC_", "DJANGO"))}
    env |= {"PORT": str(port), "WEDSYNC_VAR": str(tmp_path / "var")}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [ROOT / "script/server"], stdout=output, stderr=output, env=env, start_new_session=True, preexec_fn=die_with_parent
        )
    try:
        wait_until(lambda: "Ctrl-C ends everything." in log.read_text() or server.poll() is not None, "it is up", 120)
        said = log.read_text()
        assert server.poll() is None, said
        assert answers(f"http://127.0.0.1:{port}/healthz") and answers(f"http://127.0.0.1:{port}/static/realtime/room.js")
        for what in (f"http://127.0.0.1:{port}/", "log in as planner", "rose-garden", "join as guest", "logins.json"):
            assert what in said
        assert (tmp_path / "var/env").stat().st_mode & 0o077 == 0 and (tmp_path / "var/logins.json").stat().st_mode & 0o077 == 0
        again = subprocess.run([ROOT / "script/server"], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert again.returncode == 2 and f"port {port} is in use" in again.stderr
        assert len(members(server.pid)) >= 3
    finally:
        os.killpg(server.pid, signal.SIGTERM)
    server.wait(15)
    wait_until(lambda: not members(server.pid), "all its processes have ended", 15)


@pytest.mark.parametrize("script", ["server", "test", "check", "bench"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / "script" / script, os.X_OK)
