"""When a worker lacks open files."""

from __future__ import annotations

import pytest

from realtime.policy.files import RESERVED, short_of_files


@pytest.mark.parametrize(
    ("n_open", "limit", "short"),
    [
        (10, 1_000, False),
        (1_000 - RESERVED - 1, 1_000, False),
        (1_000 - RESERVED, 1_000, True),
        (1_200, 1_000, True),
        (None, 1, False),
    ],
)
def test_a_few_are_kept_for_the_worker_itself(n_open: int | None, limit: int, short: bool) -> None:
    assert bool(short_of_files(n_open, limit)) is short


def test_it_says_how_many_there_are() -> None:
    assert "990 of 1000 open files" in short_of_files(990, 1_000)
