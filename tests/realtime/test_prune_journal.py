"""`manage.py prune_journal`: what it cannot do it says, and then nothing is gone."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from realtime.config import RealtimeConfig
from realtime.management.commands import prune_journal as module
from tests.fakes import START


class Kept:
    """A journal."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.pruned: list[datetime] = []

    def old(self, days: int) -> datetime:
        return START - timedelta(days=days)

    def prune(self, before: datetime) -> int:
        if self.away:
            raise OperationalError("connection refused")
        self.pruned.append(before)
        return 3


def prune(monkeypatch: pytest.MonkeyPatch, journal: Kept, *asked: str, retention_days: int = 90) -> str:
    parts = SimpleNamespace(config=RealtimeConfig(retention_days=retention_days), journal=journal)
    monkeypatch.setattr(module, "services", lambda: parts)
    out = StringIO()
    call_command("prune_journal", *asked, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(("asked", "days"), [((), 90), (("--days", "1"), 1), (("--days", "36500"), 36_500)])
def test_what_is_older_goes(monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], days: int) -> None:
    journal = Kept()
    assert f"3 entries older than {days} days" in prune(monkeypatch, journal, *asked)
    assert journal.pruned == [START - timedelta(days=days)]


@pytest.mark.parametrize("days", ["0", "-1", "36501", "999999", "99999999999"])
def test_days_that_cannot_be_meant_are_misuse(monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    for asked, config in (((f"--days={days}",), 90), ((), int(days))):
        journal = Kept()
        with pytest.raises(CommandError, match="from 1 to 36,500") as error:
            prune(monkeypatch, journal, *asked, retention_days=config)
        assert error.value.returncode == 2 and journal.pruned == []


def test_a_database_that_is_away_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="connection refused") as error:
        prune(monkeypatch, Kept(away=True))
    assert error.value.returncode == 1
