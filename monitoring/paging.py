"""Does a page reach somebody? A test page goes the whole way to every receiver; a person acknowledges it."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import transaction

from monitoring.alerting import content, notify
from monitoring.models.alerts import ASKED, TEST_PAGE, Alert, Receiver
from monitoring.readiness import PageTest
from monitoring.router import ALIAS


def start(user: str, now: datetime) -> Alert:
    """Page everybody who takes pages; an earlier test that nobody answered is over."""
    with transaction.atomic(using=ALIAS):
        Alert.objects.filter(rule=TEST_PAGE, resolved_at=None).update(resolved_at=now, state="ok")
        alert = Alert.objects.create(
            fingerprint=secrets.token_hex(8),
            rule=TEST_PAGE,
            severity="page",
            state="firing",
            told="firing",
            raised_at=now,
            fired_at=now,
            reason=f"{user}{ASKED}",
        )
        notify([(content(alert, alert.about({})), now)])
    return alert


def last() -> PageTest | None:
    """The newest test. None: there was none."""
    alert = Alert.objects.filter(rule=TEST_PAGE).order_by("-fired_at").first()
    if alert is None:
        return None
    reached: list[str] = []
    missed: list[str] = []
    for receiver in Receiver.objects.filter(enabled=True):
        if not receiver.wants({"severity": alert.severity}):
            continue  # it gets no test pages: that of one wedding
        notices = receiver.notices.filter(content__0__fingerprint=alert.fingerprint)
        (reached if notices.exclude(sent_at=None).exists() else missed).append(receiver.name)
    by = alert.reason.removesuffix(ASKED)
    return PageTest(alert.fired_at, by, tuple(reached), tuple(missed), alert.acknowledged_at, alert.acknowledged_by)
