"""A mail server that goes on and on is one that does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring import mail, notifiers
from monitoring.models import Notice, Receiver
from monitoring.notifiers import send
from tests.fakes import START, ManualClock
from tests.monitoring.hooks import post_office
from wedsync import settings as ours

PAGE = {
    "status": "firing", "labels": {"severity": "page"}, "startsAt": "2027-07-03T12:00:00+00:00",
    "annotations": {"summary": "s", "description": "d", "what_to_do": "w"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("drips_at", "reached"), [("220", ()), ("250 taken", ()), ("221", ("ada@example.com", "bob@example.com"))]
)
def test_a_mail_server_whose_answer_has_no_end_is_given_a_minute(
    settings: Any, monkeypatch: pytest.MonkeyPatch, drips_at: str, reached: tuple[str, ...]
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(notifiers, "clock", clock)
    settings.EMAIL_BACKEND = ours.EMAIL_BACKEND
    receiver = Receiver(name="mail", kind="email", target="ada@example.com, bob@example.com")
    with post_office() as office:
        settings.EMAIL_HOST, settings.EMAIL_PORT = office.server_address[:2]
        office.drip, office.drips_at = lambda: clock.advance(1), drips_at
        outcome = send(receiver, Notice(receiver=receiver, content=[PAGE]), START)
    assert outcome.reached == reached and not outcome.final
    assert outcome.ok == bool(reached)
    assert reached or f"no whole answer within {mail.WITHIN_S:.0f} s" in outcome.text
