"""The audit is only ever added to, and a change of it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from monitoring.models.audit import AppendOnly, AuditEntry, AuditHead, append, first_broken

pytestmark = pytest.mark.django_db(databases=["default", "history"])
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


@pytest.mark.parametrize("left", [0, 2], ids=["all", "the last"])
def test_rows_taken_out_at_the_end_show(left: int) -> None:
    entries = [append("Ada", "drill kill --live", f"reason {n}", NOW) for n in range(4)]
    with connections["history"].cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_auditentry WHERE id >= %s", [entries[left].pk])
    assert isinstance(first_broken(), AuditHead)
    append("Eve", "drain", "after it", NOW)
    assert first_broken() is not None, "and it does not heal"


def test_two_who_write_at_once_wait_for_each_other() -> None:
    append("Ada", "drill", "the first", NOW)
    with CaptureQueriesContext(connections["history"]) as asked:
        append("Bob", "drain", "the second", NOW)
    first = next(query["sql"] for query in asked if "monitoring_audit" in query["sql"])
    assert first.startswith('UPDATE "monitoring_audithead"'), "what locks comes before what is read"


def test_the_list_says_whether_all_is_there_and_asks_once(client: Client) -> None:
    client.force_login(get_user_model().objects.create_superuser("ada", password="x"))
    entries = [append("Ada", "drill", f"reason {n}", NOW) for n in range(100)]
    with CaptureQueriesContext(connections["history"]) as asked:
        page = client.get("/admin/monitoring/auditentry/").content
    assert b"nothing is missing" in page and len(asked) < 20
    with connections["history"].cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_auditentry WHERE id = %s", [entries[-1].pk])
    page = client.get("/admin/monitoring/auditentry/").content
    assert b"changed or taken out" in page and b"nothing is missing" not in page


def test_to_look_locks_nothing_and_who_may_not_look_asks_nothing(client: Client) -> None:
    append("Ada", "drill", "a spare worker", NOW)
    bob = get_user_model().objects.create_user("bob", password="x", is_staff=True)
    client.force_login(bob)
    with CaptureQueriesContext(connections["history"]) as asked:
        assert client.get("/admin/monitoring/auditentry/").status_code == 403
    assert not asked.captured_queries and b"nothing is missing" not in client.get("/admin/").content
    bob.user_permissions.add(Permission.objects.get(codename="view_auditentry"))
    with CaptureQueriesContext(connections["history"]) as asked:
        assert b"nothing is missing" in client.get("/admin/monitoring/auditentry/").content
    assert {query["sql"].split()[0] for query in asked} <= {"SELECT", "DECLARE"}  # a cursor, on PostgreSQL


def test_an_entry_that_is_added_while_the_audit_is_read_is_no_change_of_it() -> None:
    append("Ada", "drill", "the first", NOW)

    def meanwhile(execute: Any, sql: str, *more: Any) -> Any:
        answer = execute(sql, *more)
        asked.append(sql)
        if len(asked) == 1:
            append("Bob", "drain", "the second", NOW)
        return answer

    asked: list[str] = []
    with connections["history"].execute_wrapper(meanwhile):
        assert first_broken() is None
    assert AuditEntry.objects.count() == 2 and first_broken() is None


def test_a_row_changed_shows_in_the_list(client: Client) -> None:
    client.force_login(get_user_model().objects.create_superuser("ada", password="x"))
    entries = [append("Ada", "drill", f"reason {n}", NOW) for n in range(3)]
    with connections["history"].cursor() as cursor:
        cursor.execute("UPDATE monitoring_auditentry SET who = 'Eve' WHERE id = %s", [entries[1].pk])
    page = client.get("/admin/monitoring/auditentry/").content.decode()
    assert page.count("broken") >= 1 and "changed or taken out" in page


def test_the_head_of_an_audit_that_is_older_than_it() -> None:
    for n in range(3):
        append("Ada", "drill", f"reason {n}", NOW)
    AuditHead.objects.all().delete()
    migration = import_module("monitoring.migrations.0008_audit_head")
    migration.as_it_is(apps, SimpleNamespace(connection=connections["history"]))
    assert first_broken() is None and append("Ada", "drill", "the next", NOW) and first_broken() is None
