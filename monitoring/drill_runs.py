"""Keeps what a drill found, for readiness and for the comparison with the next run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connections
from msgspec import Struct

from monitoring.alerting import summary
from monitoring.models.alerts import Alert, AlertRule
from monitoring.models.drills import DrillRun
from monitoring.router import ALIAS
from monitoring.signals import SIGNALS

logger = logging.getLogger(__name__)

OWN, SQLITE = "drill", "django.db.backends.sqlite3"


def record(
    name: str,
    *,
    passed: bool,
    verdict: str,
    options: Mapping[str, Any],
    result: Mapping[str, Any],
    started_at: datetime,
    ended_at: datetime,
    keep: bool = True,
) -> DrillRun:
    """One run, kept unless it is not to be. A history database that does not take it is a line in the log, and the run has no
    number: the drill is over all the same."""
    run = DrillRun(
        name=name,
        passed=passed,
        verdict=verdict,
        options=dict(options),
        result=dict(result),
        started_at=started_at,
        ended_at=ended_at,
    )
    try:
        if keep and not _migrated():
            logger.warning(
                "drill %s is done; to keep its runs and compare them, set this installation up: manage.py migrate", name
            )
        elif keep:
            run.save()
    except DatabaseError as error:
        logger.error("the run of drill %s is not kept: %s", name, error)
    return run


def last_passed(name: str, before: datetime) -> DrillRun | None:
    """The run to compare with. None too when the history database does not answer, or is not set up yet."""
    try:
        if not _migrated():
            return None
        return DrillRun.objects.filter(name=name, passed=True, started_at__lt=before).first()
    except DatabaseError as error:
        logger.error("there is nothing to compare drill %s with: %s", name, error)
        return None


def _migrated() -> bool:
    """Whether runs can be kept here: a drill on a fleet of its own needs nothing but the clone. Raises DatabaseError."""
    return DrillRun._meta.db_table in connections[ALIAS].introspection.table_names()


def pages() -> list[str]:
    """Rules of the pages that fire now and are not muted. Raises DatabaseError."""
    firing = Alert.objects.filter(severity="page", resolved_at=None, muted="").exclude(kept={})
    return sorted(set(firing.values_list("rule", flat=True)))


class Fired(Struct, frozen=True):
    """An alert that was told."""

    rule: str
    at: datetime
    said: str


def fired(since: datetime, history: Path | None = None) -> list[Fired]:
    """The alerts told since then, oldest first. `history`: the database of a fleet of its own; None: of this installation.

    Raises DatabaseError.
    """
    with _alias(history) as alias:
        found = Alert.objects.using(alias).filter(fired_at__gte=since, muted="").order_by("fired_at")
        rules = {rule.name: rule for rule in AlertRule.objects.using(alias).all()}
        return [Fired(alert.rule, alert.fired_at, _said(alert, alert.about(rules))) for alert in found]


def switch_off(rules: Iterable[str], history: Path) -> None:
    """Hide alerts of a fleet of its own: for tests of what depends on them."""
    with _alias(history) as alias:
        AlertRule.objects.using(alias).filter(name__in=rules).update(enabled=False)


def _said(alert: Alert, rule: AlertRule | None) -> str:
    """What was wrong, with whom, and how much, for people who do not know the rules by name."""
    if alert.worst is None or rule is None:
        return summary(alert, rule)
    return f"{summary(alert, rule)}: at worst {alert.worst:.3g} {SIGNALS[rule.signal].unit}"


@contextmanager
def _alias(history: Path | None) -> Iterator[str]:
    if history is None:
        yield ALIAS
        return
    settings = connections[ALIAS].settings_dict
    connections.databases[OWN] = settings | {"ENGINE": SQLITE, "NAME": str(history), "OPTIONS": {"timeout": 10}}
    try:
        yield OWN
    finally:
        connections[OWN].close()
        del connections[OWN], connections.databases[OWN]
