"""Does a page reach somebody? A test page goes the whole way to every receiver; a person acknowledges it."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import transaction

from monitoring.alerting import content, notify
from monitoring.models.alerts import Alert, AlertRule, Receiver
from monitoring.readiness import PageTest
from monitoring.router import ALIAS

RULE = "page-me"
WHAT_TO_DO = "Acknowledge it in the admin, under Alerts: that shows that a page reaches you."


def start(user: str, now: datetime) -> Alert:
    """Page everybody who takes pages; an earlier test that nobody answered is over."""
    about = AlertRule(name=RULE, title=f"A test by {user}: please acknowledge", what_to_do=WHAT_TO_DO)
    with transaction.atomic(using=ALIAS):
        Alert.objects.filter(rule=RULE, resolved_at=None).update(resolved_at=now, state="ok")
        alert = Alert.objects.create(
            fingerprint=secrets.token_hex(8),
            rule=RULE,
            severity="page",
            state="firing",
            told="firing",
            raised_at=now,
            fired_at=now,
            reason=f"{user} asked for it",
        )
        notify([(content(alert, about), now)])
    return alert


def last() -> PageTest | None:
    """The newest test. None: there was none."""
    alert = Alert.objects.filter(rule=RULE).order_by("-fired_at").first()
    if alert is None:
        return None
    reached: list[str] = []
    missed: list[str] = []
    for receiver in Receiver.objects.filter(enabled=True):
        notices = receiver.notices.filter(content__0__fingerprint=alert.fingerprint)
        (reached if notices.exclude(sent_at=None).exists() else missed).append(receiver.name)
    by = alert.reason.removesuffix(" asked for it")
    return PageTest(alert.fired_at, by, tuple(reached), tuple(missed), alert.acknowledged_at, alert.acknowledged_by)
