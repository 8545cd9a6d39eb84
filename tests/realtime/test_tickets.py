"""`manage.py tickets`: what it prints lets a load tool in, and what it cannot do it says."""

from __future__ import annotations

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from realtime.access import read_ticket
from realtime.clock import SystemClock
from realtime.config import RealtimeConfig
from realtime.errors import JournalUnavailable, UnknownRoom
from realtime.management.commands import tickets as module

ROOM = "rose-garden"
CONFIG = RealtimeConfig(load_testing=True)


class OneWedding:
    """A journal."""

    def position(self, room: str) -> None:
        if room != ROOM:
            raise UnknownRoom


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    parts = SimpleNamespace(config=CONFIG, clock=SystemClock(), journal=OneWedding())
    monkeypatch.setattr(module, "services", lambda: parts)
    return parts


def printed(*asked: str) -> str:
    out = StringIO()
    call_command("tickets", *asked, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("role", ["planner", "guest", "load"])
def test_each_ticket_is_for_a_member_of_its_own(role: str) -> None:
    asked = ("--wedding", ROOM, "--role", role, "--count", "3", "--reusable", "--ttl", "60")
    shown: dict[str, Any] = json.loads(printed(*asked, "--json"))
    assert (shown["wedding"], shown["role"]) == (ROOM, role)
    now = SystemClock().now()
    for texts in (printed(*asked).split(), shown["tickets"]):
        read = [read_ticket(text, ROOM, now, CONFIG) for text in texts]
        assert len({ticket.member.member for ticket in read}) == 3
        assert {(ticket.member.role, ticket.reusable) for ticket in read} == {(role, True)}
        assert all(50 < ticket.expires_s - now.timestamp() <= 61 for ticket in read)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--wedding", "nobodys", "--role", "guest"), "there is no wedding 'nobodys'"),
        (("--wedding", ROOM, "--role", "guest", "--count", "0"), "--count 0: from 1 to 100,000"),
        (("--wedding", ROOM, "--role", "guest", "--count", "100001"), "--count 100001: from 1 to 100,000"),
        (("--wedding", ROOM, "--role", "guest", "--ttl", "0"), "--ttl 0: from 1 to 2,592,000 s"),
        (("--wedding", ROOM, "--role", "guest", "--ttl", "2592001"), "--ttl 2592001: .* 30 days"),
        (("--wedding", ROOM, "--role", "guest", "--ttl", "9" * 23), "30 days"),
        (("--wedding", ROOM, "--role", "load"), "only with load testing on"),
    ],
)
def test_what_it_cannot_do_it_says(parts: SimpleNamespace, asked: tuple[str, ...], said: str) -> None:
    parts.config = RealtimeConfig()
    with pytest.raises(CommandError, match=said) as error:
        call_command("tickets", *asked)
    assert error.value.returncode == 2


def test_a_journal_that_is_away_is_a_sentence(parts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(room: str) -> None:
        raise JournalUnavailable from OperationalError("connection refused")

    monkeypatch.setattr(parts.journal, "position", away)
    with pytest.raises(CommandError, match="connection refused") as error:
        call_command("tickets", "--wedding", ROOM, "--role", "guest")
    assert error.value.returncode == 1
