"""`drill db-out`: the journal's database is gone for a while.

With PostgreSQL installed the fleet gets one of its own, which is stopped and started again. Without it the fleet's SQLite file
is locked by somebody who does not let go: commits then fail late, after the ten seconds that SQLite is willing to wait.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from realtime.drills.outage import JournalOutage
from realtime.drills.postgres import Postgres, binaries

LOCKED_S = 18.0
"""SQLite waits ten seconds before it says that it cannot write."""


class LockedFile:
    """Holds the write lock of a SQLite database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def stop(self) -> None:
        self._connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")

    def start(self) -> None:
        if self._connection is not None:
            self._connection.execute("ROLLBACK")
            self._connection.close()
            self._connection = None


class DatabaseOutDrill(JournalOutage):
    name = "db-out"
    injects = "the journal's database is stopped for up to 30 s (PostgreSQL; without one the SQLite file is locked)"
    database: Postgres | None = None

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        if binaries() is None:
            cls.database = None
            yield {}
            return
        cls.database = Postgres()
        await asyncio.to_thread(cls.database.__enter__)
        try:
            yield {"DATABASE_URL": await asyncio.to_thread(cls.database.database)}
        finally:
            await asyncio.to_thread(cls.database.__exit__)

    async def lose(self) -> None:
        self._gone = self.database or LockedFile(Path(self.server.var) / "wedsync.sqlite3")
        if self.database is None:
            self.least_s = LOCKED_S
        self.facts["database"] = "PostgreSQL, stopped" if self.database else "SQLite, locked"
        await asyncio.to_thread(self._gone.stop)

    async def give_back(self) -> None:
        await asyncio.to_thread(self._gone.start)
