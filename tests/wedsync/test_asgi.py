"""The application before it serves anybody: processes of their own, for it is imported once, by its server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.startup import NO_KEY

DAPHNE = ["-m", "daphne", "-p", "0", "wedsync.asgi:application"]
LIFESPAN = """
import asyncio
from wedsync.asgi import application

async def receive():
    return {"type": "lifespan.startup"}

async def send(message):
    print(message)

asyncio.run(application({"type": "lifespan"}, receive, send))
"""
NO_TABLES = "migrations): manage.py migrate"
KEY = {"SECRET_KEY": "of these tests"}


def run(*arguments: str, var: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """One that ends by itself."""
    given = {name: text for name, text in os.environ.items() if name != "WEDSYNC_DEBUG"} | {"WEDSYNC_VAR": str(var)} | env
    return subprocess.run([sys.executable, *arguments], env=given, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("env", "end"), [({}, NO_KEY), (KEY, NO_TABLES)], ids=["key", "tables"])
def test_a_plain_daphne_without_what_it_needs_says_so_and_ends(env: dict[str, str], end: str, tmp_path: Path) -> None:
    done = run(*DAPHNE, var=tmp_path, **env)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("wedsync: ") and done.stderr.endswith(f"{end}\n")


@pytest.mark.parametrize(
    ("env", "written", "end"),
    [
        pytest.param({"EMAIL_PORT": "abc"}, b"", "wedsync: EMAIL_PORT='abc': Expected `int`", id="variable"),
        pytest.param({}, b"\xff", "env: it is no text in UTF-8", id="file"),
    ],
)
def test_a_plain_daphne_with_a_setting_that_cannot_be_right_says_so_and_ends(
    env: dict[str, str], written: bytes, end: str, tmp_path: Path
) -> None:
    (tmp_path / "env").write_bytes(written)
    done = run(*DAPHNE, var=tmp_path, **KEY, **env)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith("wedsync: ") and end in said


@pytest.mark.parametrize(("env", "end"), [({}, NO_KEY), (KEY, NO_TABLES)], ids=["key", "tables"])
def test_a_control_loop_without_what_it_needs_says_so_and_ends(env: dict[str, str], end: str, tmp_path: Path) -> None:
    done = run("manage.py", "control_loop", var=tmp_path, **env)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1) and done.stderr.endswith(f"{end}\n")


IMPORTED = "import sys, daphne.cli, wedsync.asgi; sys.exit(0)"
"""As a plain Daphne imports it; it does not serve then."""


@pytest.mark.parametrize(
    ("env", "status"),
    [
        pytest.param({}, 2, id="the control loop runs here"),
        pytest.param({"WEDSYNC_CONTROL": "", "WEDSYNC_SLOT": "web"}, 2, id="pages"),
        pytest.param({"WEDSYNC_CONTROL": "", "WEDSYNC_SLOT": "w2"}, 0, id="a worker that only delivers"),
    ],
)
def test_a_history_without_tables_keeps_only_those_from_starting_who_use_it(
    env: dict[str, str], status: int, tmp_path: Path
) -> None:
    assert run("manage.py", "migrate", "-v0", var=tmp_path, **KEY).returncode == 0
    done = run("-c", IMPORTED, var=tmp_path, **KEY, **env)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert done.stderr.endswith(f"{NO_TABLES} --database history\n")


def test_a_server_with_a_lifespan_is_told_why_not(tmp_path: Path) -> None:
    done = run("-c", LIFESPAN, var=tmp_path, **KEY)
    assert done.stdout.startswith("{'type': 'lifespan.startup.failed', 'message': 'the database default is not up to date (")
