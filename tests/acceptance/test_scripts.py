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
    host, port, log = "127.0.0.2", free_port(), tmp_path / "out"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WEDSYNC_", "DJANGO"))}
    env |= {"HOST": host, "PORT": str(port), "WEDSYNC_VAR": str(tmp_path / "var")}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [ROOT / "script/server"], stdout=output, stderr=output, env=env, start_new_session=True, preexec_fn=die_with_parent
        )
    try:
        wait_until(lambda: "Ctrl-C ends everything." in log.read_text() or server.poll() is not None, "it is up", 120)
        said = log.read_text()
        assert server.poll() is None, said
        assert answers(f"http://{host}:{port}/login/") and answers(f"http://{host}:{port}/static/realtime/room.js")
        for what in (f"http://{host}:{port}/", "log in as planner", "rose-garden", "join as guest", "logins.json"):
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


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"PORT": "abc"}, "PORT=abc: a number from 1 to 65535 is needed"),
        ({"PORT": "99999"}, "PORT=99999: a number from 1 to 65535 is needed"),
        ({"HOST": "nope.invalid", "PORT": "18080"}, "HOST=nope.invalid PORT=18080 cannot be had: "),
        ({"HOST": "192.0.2.1", "PORT": "18080"}, "cannot be had: Cannot assign requested address"),
    ],
)
def test_where_it_cannot_listen_is_said_and_nothing_is_made(env: dict[str, str], says: str, tmp_path: Path) -> None:
    var = tmp_path / "var"
    done = asked("server", env=os.environ | {"WEDSYNC_VAR": str(var)} | env)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
    assert not var.exists()


@pytest.mark.parametrize("script", ["server", "check"])
def test_help_is_help_and_what_is_not_known_starts_nothing(script: str) -> None:
    helped = asked(script, "--help")
    assert helped.returncode == 0 and helped.stdout.strip() and not helped.stdout.startswith("#")
    refused = asked(script, "--hlep")
    assert refused.returncode == 2 and "there is no --hlep here" in refused.stderr and not refused.stdout


def asked(script: str, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "script" / script, *args], env=env, capture_output=True, text=True, timeout=60)
