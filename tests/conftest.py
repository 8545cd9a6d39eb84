"""What all tests share: the tiers, missing programs, Hypothesis' profile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from realtime.drills.postgres import Postgres, binaries
from tests.processes import SERVER, Processes, start_redis

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def missing(what: str, package: str) -> None:
    """Skip by name, with the way to get it; in CI a part that is absent is a failure."""
    sentence = f"{what} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is about Daphne says nothing on another server."""
    if SERVER != "daphne" and item.get_closest_marker("daphne"):
        pytest.skip("about our protocol inside Daphne")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real processes; all of them are ended by pid afterwards."""
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def redis_url(processes: Processes) -> str:
    """A private Redis."""
    if shutil.which("redis-server") is None:
        missing("redis-server", "redis-server")
    return start_redis(processes)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL that writes to disk like a real one."""
    if binaries() is None:
        missing("PostgreSQL", "postgresql")
    with Postgres() as server:
        yield server


@pytest.fixture
def chromium() -> str:
    """The path of Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        missing("Chromium", "chromium")
    return found or ""
