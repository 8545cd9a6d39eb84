"""`manage.py journal_restored`."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import QuerySet

from realtime.models import Room

pytestmark = pytest.mark.django_db


def epochs() -> dict[str, str]:
    return dict(Room.objects.values_list("name", "epoch"))


def test_all_weddings_or_those_that_are_named_start_anew() -> None:
    Room.objects.bulk_create([Room(name="rose"), Room(name="villa")])
    before, said = epochs(), StringIO()
    call_command("journal_restored", "villa", "--json", stdout=said)
    one = epochs()
    assert json.loads(said.getvalue()) == {"renewed": 1} and one["rose"] == before["rose"] and one["villa"] != before["villa"]
    call_command("journal_restored", stdout=said)
    assert "2 weddings" in said.getvalue() and not set(epochs().values()) & {*before.values(), *one.values()}


def test_a_wedding_that_does_not_exist_is_named_and_nothing_changes() -> None:
    Room.objects.create(name="rose")
    before = epochs()
    with pytest.raises(CommandError, match="no such wedding: vila") as refused:
        call_command("journal_restored", "rose", "vila")
    assert refused.value.returncode == 2 and epochs() == before


def test_a_database_that_is_away_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(QuerySet, "_fetch_all", away)
    with pytest.raises(CommandError, match="connection refused") as error:
        call_command("journal_restored")
    assert error.value.returncode == 1
