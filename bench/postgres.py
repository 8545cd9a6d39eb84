"""A private PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.machine import CannotMeasure, unpinned
from realtime.drills.postgres import Postgres
from realtime.drills.server import DrillFailed


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database. Its processes run on any core: what waits for the disk must not wait for a core, too."""
    try:
        with ExitStack() as stack:
            with unpinned():
                found = stack.enter_context(Postgres())
            yield found.database()
    except DrillFailed as error:
        raise CannotMeasure(str(error)) from None
