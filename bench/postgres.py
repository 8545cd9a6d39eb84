"""A private PostgreSQL on the server's core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import CannotMeasure, cores, pin
from realtime.drills.postgres import Postgres
from realtime.drills.server import DrillFailed


@contextmanager
def fresh_database(*, pinned: bool = True) -> Iterator[str]:
    """The URL of an empty database. `pinned`: it stays on the core of the server."""
    try:
        with Postgres() as found:
            if pinned:
                pin(found.pid, cores()[0])
            yield found.database()
    except DrillFailed as error:
        raise CannotMeasure(str(error)) from None
