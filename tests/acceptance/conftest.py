"""What every acceptance test has to answer for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from realtime.drills.postgres import Postgres, binaries
from tests.conftest import missing


@pytest.fixture(autouse=True)
def leaves_nothing_open() -> Iterator[None]:
    """A socket that a test forgets fails that test, not the one that happens to collect it."""
    yield
    gc.collect()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that this test may stop."""
    if binaries() is None:
        missing("PostgreSQL", "postgresql")
    with Postgres() as server:
        yield server
