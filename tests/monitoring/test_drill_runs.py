"""What a drill found is kept, and a database that is away does not spoil the drill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.db import DatabaseError, connections

from monitoring.drill_runs import fired, last_passed, record
from monitoring.models import Alert, AlertRule, DrillRun

pytestmark = pytest.mark.django_db(databases=["default", "history"])
NOON = datetime(2027, 6, 9, 12, 0, tzinfo=UTC)


def run(hours: int, *, passed: bool = True) -> DrillRun:
    at = NOON + timedelta(hours=hours)
    return record("kill", passed=passed, verdict="", options={"seed": 1}, result={"lost": 0}, started_at=at, ended_at=at)


def test_a_run_is_compared_with_the_last_that_passed() -> None:
    run(0), run(1), run(2, passed=False)
    found = last_passed("kill", NOON + timedelta(hours=3))
    assert found is not None and found.started_at == NOON + timedelta(hours=1) and found.result == {"lost": 0}
    assert last_passed("kill", NOON) is None and last_passed("storm", NOON + timedelta(hours=9)) is None


def test_a_database_that_is_away_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with patch("monitoring.drill_runs.DrillRun.save", side_effect=DatabaseError("gone")):
        kept = run(0)
    assert kept.pk is None and kept.passed
    assert "the run of drill kill is not kept: gone" in caplog.text


def test_where_nothing_is_set_up_yet_a_drill_ends_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    with connections["history"].cursor() as cursor:
        cursor.execute("DROP TABLE monitoring_drillrun")  # comes back with the rollback after this test
    kept = run(0)
    assert kept.pk is None and kept.passed
    assert last_passed("kill", NOON) is None
    (note,) = caplog.records
    assert note.levelname == "WARNING" and "manage.py migrate" in note.getMessage()


def test_an_alert_is_told_in_words() -> None:
    Alert.objects.create(
        fingerprint="f", rule="worker-missing", labels={"worker": "w2"}, severity="page", state="firing", told="firing",
        raised_at=NOON, fired_at=NOON, worst=2.14,
    )  # fmt: skip
    (found,) = fired(NOON - timedelta(seconds=1))
    title = AlertRule.objects.get(name="worker-missing").title
    assert (found.rule, found.at, found.said) == ("worker-missing", NOON, f"{title} (worker w2): at worst 2.14 seconds")
    assert fired(NOON + timedelta(seconds=1)) == []
