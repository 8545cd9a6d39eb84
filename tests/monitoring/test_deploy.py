"""Nothing is deployed on a wedding's day, unless somebody answers for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from monitoring.management.commands.deploy import refusal
from monitoring.models.scaling import WindowOverride
from realtime.clock import SystemClock
from realtime.fleet import remote
from realtime.policy.windows import EventWindow
from wedsync.weddings.models import Wedding

pytestmark = pytest.mark.django_db(databases=["default", "history"])
HOUR = 3_600.0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A supervisor that does what it is told, and what it was told."""
    said: list[dict[str, Any]] = []

    def ask(var: object, request: dict[str, Any], timeout_s: float = 0.0) -> Iterator[dict[str, Any]]:
        said.append(request)
        yield {"workers": [1, 2]} if request["do"] == "fleet" else {"done": True}

    monkeypatch.setattr(remote, "ask", ask)
    return said


@pytest.fixture
def wedding() -> Wedding:
    """One whose ceremony is in two hours."""
    ceremony = SystemClock().now() + timedelta(hours=2)
    return Wedding.objects.create(slug="ana-tom", names="Ana & Tom", venue="V", timezone="UTC", ceremony_at=ceremony)


def test_on_nobodys_day_it_goes_through(asked: list[dict[str, Any]], wedding: Wedding) -> None:
    Wedding.objects.update(ceremony_at=SystemClock().now() + timedelta(hours=40))
    call_command("deploy")
    assert asked[-1] == {"do": "deploy", "reason": "deploy: a new release is started"}
    assert not WindowOverride.objects.exists()


@pytest.mark.usefixtures("wedding")
def test_on_a_weddings_day_it_is_refused_by_name(asked: list[dict[str, Any]]) -> None:
    with pytest.raises(CommandError, match=r"(?s)1 wedding has its day: ana-tom until .*--override WHY --by NAME") as refused:
        call_command("deploy")
    assert refused.value.returncode == 1
    assert [request["do"] for request in asked] == ["fleet"]


@pytest.mark.usefixtures("wedding")
def test_who_answers_for_it_is_kept_with_the_reason(asked: list[dict[str, Any]]) -> None:
    call_command("deploy", "--override", "a hole is closed", "--by", "Maria Lang")
    assert asked[-1]["do"] == "deploy"
    said = WindowOverride.objects.get()
    assert (said.who, said.reason, said.until - said.at) == ("Maria Lang", "a hole is closed", timedelta(hours=1))


@pytest.mark.parametrize("half", [("--override", "why"), ("--by", "Maria Lang"), ("--override", " ", "--by", "M")])
def test_half_an_override_is_none(asked: list[dict[str, Any]], half: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="A person and a reason") as refused:
        call_command("deploy", *half)
    assert refused.value.returncode == 2 and asked == []


def test_the_refusal_says_when_it_is_nobodys_day() -> None:
    days = [EventWindow(f"k{n}", 0.0, n * HOUR, (n + 3) * HOUR) for n in range(8)]
    said = refusal(days[:6], days)
    assert "6 weddings have their day: k0 until 01 January 03:00 UTC" in said and "and 1 more" in said
    assert said.endswith("nobody's day from 01 January 10:00 UTC on.")
