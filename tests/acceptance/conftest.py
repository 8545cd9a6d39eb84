"""What every acceptance test has to answer for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def leaves_nothing_open() -> Iterator[None]:
    """A socket that a test forgets fails that test, not the one that happens to collect it."""
    yield
    gc.collect()
