"""Keeps what a drill found, for readiness and for the comparison with the next run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import DatabaseError

from monitoring.models.drills import DrillRun

logger = logging.getLogger(__name__)


def record(
    name: str,
    *,
    passed: bool,
    verdict: str,
    options: Mapping[str, Any],
    result: Mapping[str, Any],
    started_at: datetime,
    ended_at: datetime,
) -> DrillRun | None:
    """Keep one run. None, and a line in the log, when the history database does not take it: the drill is over all the same."""
    try:
        return DrillRun.objects.create(
            name=name,
            passed=passed,
            verdict=verdict,
            options=dict(options),
            result=dict(result),
            started_at=started_at,
            ended_at=ended_at,
        )
    except DatabaseError as error:
        logger.error("the run of drill %s is not kept: %s", name, error)
        return None


def last_passed(name: str, before: datetime) -> DrillRun | None:
    """The run to compare with."""
    return DrillRun.objects.filter(name=name, passed=True, started_at__lt=before).first()
