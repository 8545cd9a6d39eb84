"""When a drill may run on the running fleet, and who has to answer for it when it should not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from monitoring.models import Alert, AuditEntry
from realtime.drills import live
from realtime.drills.kill import KillDrill
from realtime.drills.redis_kill import RedisKillDrill
from realtime.drills.server import Running
from wedsync.weddings.models import Wedding

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def wedding(*, demo: bool, hours: float = 1.0) -> None:
    at = datetime.now(UTC) + timedelta(hours=hours)
    Wedding(slug="rose", names="A & B", venue="V", timezone="UTC", ceremony_at=at, demo=demo, invited_guests=50).save()


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as error:
        call_command("drill", *arguments)
    assert error.value.returncode == 2
    return str(error.value)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "running", lambda: Running("http://127.0.0.1:9", 1, "", "/nowhere", "redis://nowhere"))


def test_without_a_fleet_there_is_nothing_to_drill() -> None:
    assert "no fleet of this installation runs" in refused("kill", "--live", "--connections", "20")


@pytest.mark.usefixtures("fleet")
def test_refused_while_a_real_wedding_has_its_day() -> None:
    wedding(demo=False)
    said = refused("kill", "--live", "--connections", "20")
    assert "rose has its day now" in said and "--override" in said
    assert not AuditEntry.objects.exists()


def test_a_demo_or_tomorrow_is_no_reason() -> None:
    wedding(demo=True)
    live.check(KillDrill, 20, datetime.now(UTC), overridden=False)
    Wedding.objects.all().delete()
    wedding(demo=False, hours=30)
    live.check(KillDrill, 20, datetime.now(UTC), overridden=False)


def test_somebody_who_takes_the_responsibility_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    wedding(demo=False)
    calls = iter([None])

    def once() -> Running:
        if next(calls, "again") == "again":
            raise live.Refused("the fleet has gone meanwhile")
        return Running("http://127.0.0.1:9", 1, "", "/nowhere", "")

    monkeypatch.setattr(live, "running", once)
    refused("kill", "--live", "--connections", "20", "--override", "a spare worker is bought", "--by", "Ada")
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.what, entry.reason, entry.target) == (
        "Ada",
        "drill kill --live",
        "a spare worker is bought",
        "rose",
    )


@pytest.mark.parametrize("arguments", [("--override", "why"), ("--live", "--override", "why"), ("--live", "--by", "Ada")])
def test_an_override_needs_a_name_and_a_reason(arguments: tuple[str, ...]) -> None:
    assert "--by YOUR-NAME" in refused("kill", *arguments)


def test_what_else_is_refused() -> None:
    now = datetime.now(UTC)
    with pytest.raises(live.Refused, match="only on a fleet of its own"):
        live.check(RedisKillDrill, 20, now, overridden=True)
    with pytest.raises(live.Refused, match="at most 500"):
        live.check(KillDrill, 501, now, overridden=True)
    Alert.objects.create(
        fingerprint="f",
        rule="burn-now",
        severity="page",
        state="firing",
        told="firing",
        raised_at=now,
        fired_at=now,
        kept={"a": 1},
    )
    with pytest.raises(live.Refused, match=r"a page is firing \(burn-now\)"):
        live.check(KillDrill, 20, now, overridden=True)
