"""What has to be there before anything is served. Each process would miss it later, in its own words, or not at all."""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor

from realtime.patience import answer_within
from realtime.services import WEB_SLOT

logger = logging.getLogger(__name__)

NO_KEY = "SECRET_KEY is not set: it signs sessions and tickets; a long random text, the same for all processes"
PATIENCE_S = 5.0
"""For each answer of a database; one that hangs is away, and the start of a server that was killed must not wait for it."""


def only_delivers() -> bool:
    """Whether this process is a worker of many, which needs the journal alone: the control loop and the pages are elsewhere."""
    return not settings.REALTIME.control and settings.REALTIME.slot != WEB_SLOT


def obstacle(*, delivering: bool = False) -> str:
    """A sentence for the operator about what is missing; "" when everything is there. Asks the databases. `delivering`: what
    other databases than the default one miss is a warning in the log, for a process that `only_delivers`."""
    try:
        settings.SECRET_KEY  # noqa: B018 - asking is what raises
    except ImproperlyConfigured:
        return NO_KEY
    answer_within(PATIENCE_S)
    try:
        for alias in connections:
            missing = _behind(alias)
            if missing and (alias == DEFAULT_DB_ALIAS or not delivering):
                return missing
            if missing:
                logger.warning("%s", missing)
    finally:
        answer_within(None)
    return ""


def _behind(alias: str) -> str:
    """Whether tables are missing. A database that is away now is no reason not to start."""
    connection = connections[alias]
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return ""
    finally:
        connection.close()
    if not missing:
        return ""
    name = "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"
    return f"the database {alias} is not up to date ({len(missing)} migrations): manage.py migrate{name}"
