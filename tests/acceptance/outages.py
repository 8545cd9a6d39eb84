"""Two ways in which a PostgreSQL is away."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from realtime.drills.postgres import Postgres

Outage = Callable[[Postgres], Callable[[], None]]
"""Begins it; gives what ends it."""


def hang(postgres: Postgres) -> Callable[[], None]:
    """It keeps its connections, takes new ones, and answers nothing."""
    whole = psutil.Process(postgres.pid)
    stopped = [whole, *whole.children(recursive=True)]
    for process in stopped:
        process.suspend()

    def go_on() -> None:
        for process in reversed(stopped):
            process.resume()

    return go_on


def end(postgres: Postgres) -> Callable[[], None]:
    """Its connections break, new ones are refused."""
    postgres.stop()
    return postgres.start
