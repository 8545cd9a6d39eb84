"""Django's PostgreSQL for threads that must not wait for ever: a database that hangs is one that is away.

A server that is stopped, or whose disk stands still, keeps its connections and answers nothing; one whose machine is gone does
so until TCP gives up, a quarter of an hour later. Who has said how long it waits (`realtime.patience`) gets an OperationalError
then, as from a server that has ended; the connection is not used any more, and for a moment no other is tried.
"""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.db.utils import OperationalError
from django.utils.module_loading import import_string
from psycopg import Connection, errors

from realtime.clock import Clock, SystemClock
from realtime.patience import patience_s

ASK_AGAIN_S = 3.0
"""A thread that does something every second is then held up by a third of that time at most."""
CONNECT_LEAST_S = 2
"""What libpq makes of less."""

# The web process counts its queries: then this is django-prometheus' class, else Django's.
Usual: Any = import_string(f"{settings.DATABASE_BACKENDS}.postgresql.base.DatabaseWrapper")


class DatabaseWrapper(Usual):  # type: ignore[misc]
    """One thread's connection to one database."""

    clock: Clock = SystemClock()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._not_before_s = -math.inf

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        limit_s = patience_s()
        if limit_s is None:
            return super().get_new_connection(conn_params)  # type: ignore[no-any-return]
        if self.clock.monotonic() < self._not_before_s:
            raise OperationalError(f"The database {self.alias} did not answer a moment ago.")
        try:
            found = super().get_new_connection(conn_params | {"connect_timeout": max(CONNECT_LEAST_S, math.ceil(limit_s))})
        except errors.ConnectionTimeout:
            self._hangs()
            raise
        self._limit(found, limit_s)
        return found  # type: ignore[no-any-return]

    def _limit(self, connection: Connection[Any], limit_s: float) -> None:
        usual = connection.wait

        def wait(gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            if timeout is not None:
                return usual(gen, interval, timeout)  # who asks so knows what to do when it is over
            try:
                return usual(gen, interval, limit_s)
            except errors._WaitTimeout:
                connection.pgconn.finish()  # what it may still answer belongs to nobody
                self._hangs()
                raise errors.OperationalError(f"The database {self.alias} did not answer within {limit_s:g} s.") from None

        connection.wait = wait  # type: ignore[method-assign]

    def _hangs(self) -> None:
        self._not_before_s = self.clock.monotonic() + ASK_AGAIN_S
