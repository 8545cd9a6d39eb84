"""The audit is only ever added to, and a change of it shows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connections

from monitoring.models.audit import AppendOnly, AuditEntry, append, first_broken

pytestmark = pytest.mark.django_db(databases=["history"])
NOW = datetime(2027, 6, 12, 12, tzinfo=UTC)


def test_rows_are_sealed_one_over_the_other() -> None:
    first, second = append("Ada", "drill kill --live", "a spare worker", NOW), append("Ada", "drill storm --live", "again", NOW)
    assert first_broken() is None and second.seal == second.sealed(first.seal)


def test_nothing_changes_a_row() -> None:
    entry = append("Ada", "drill kill --live", "a spare worker", NOW)
    entry.reason = "another"
    for change in (entry.save, entry.delete, AuditEntry.objects.all().delete, lambda: AuditEntry.objects.update(who="Eve")):
        with pytest.raises(AppendOnly):
            change()


@pytest.mark.parametrize(
    "forgery", ["UPDATE monitoring_auditentry SET who = 'Eve' WHERE id = %s", "DELETE FROM monitoring_auditentry WHERE id = %s"]
)
def test_a_row_changed_or_taken_out_behind_our_back_shows(forgery: str) -> None:
    entries = [append("Ada", "drill kill --live", f"reason {n}", NOW) for n in range(3)]
    with connections["history"].cursor() as cursor:
        cursor.execute(forgery, [entries[1].pk])
    broken = first_broken()
    assert broken is not None and broken.pk == entries[1 if forgery.startswith("UPDATE") else 2].pk
