"""`manage.py tickets`: what it prints lets a load tool in, and what it cannot do it says."""

from __future__ import annotations

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from realtime.access import read_ticket
from realtime.clock import SystemClock
from realtime.config import RealtimeConfig
from realtime.errors import UnknownRoom
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
        (("--wedding", ROOM, "--role", "guest", "--count", "0"), "--count and --ttl must be at least 1"),
        (("--wedding", ROOM, "--role", "guest", "--ttl", "0"), "--count and --ttl must be at least 1"),
        (("--wedding", ROOM, "--role", "load"), "only with load testing on"),
    ],
)
def test_what_it_cannot_do_it_says(parts: SimpleNamespace, asked: tuple[str, ...], said: str) -> None:
    parts.config = RealtimeConfig()
    with pytest.raises(CommandError, match=said) as error:
        call_command("tickets", *asked)
    assert error.value.returncode == 2
