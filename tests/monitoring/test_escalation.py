"""Who has not confirmed the emergency: reminded by name, then somebody is paged."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db import DatabaseError
from hypothesis import given
from hypothesis import strategies as st

from monitoring import confirmations
from monitoring.alerting import Alerting
from monitoring.delivery import Delivery
from monitoring.escalation import REMIND_AFTER_S, Emergency, Person, overdue, reminder
from monitoring.models import Alert, Notice, Receiver
from monitoring.notifiers import Outcome
from monitoring.signals import of
from realtime.models import JournalEntry, OutboxEntry, Room
from realtime.report import WeddingReport, WorkerReport
from tests.fakes import START, ManualClock
from wedsync.weddings.models import Member, Wedding

FALL = Emergency("rose-garden", "a1", 7, "Guest collapsed at table 4.", "m1", 1_000.0)
CREW = [Person("m1", "Ada"), Person("m2", "DJ Max"), Person("m3", "Lena")]


def test_who_raised_it_has_seen_it_and_who_confirmed_too() -> None:
    late = overdue(FALL, CREW, {"m3"}, 1_031.0)
    assert late is not None and late.missing == ("DJ Max",) and late.age_s == 31
    assert overdue(FALL, CREW, {"m2", "m3"}, 1_031.0) is None


@given(st.floats(0, 5_000), st.floats(0, 5_000))
def test_every_reminder_comes_once_and_names_who_is_meant(one_s: float, other_s: float) -> None:
    early, late = (overdue(FALL, CREW, set(), 1_000.0 + s) for s in sorted((one_s, other_s)))
    assert early is not None and late is not None
    first, second = reminder(early), reminder(late)
    assert (first is None) == (early.age_s < REMIND_AFTER_S[0])
    if first is not None and second is not None:
        assert "DJ Max, Lena" in first.text and "Ada" not in first.text
        passed = sum(early.age_s < after_s <= late.age_s for after_s in REMIND_AFTER_S)
        assert (first.id == second.id) == (passed == 0)


def test_a_crew_of_forty_is_a_sentence() -> None:
    late = overdue(FALL, [Person(f"m{n}", "N" * 100) for n in range(40)], set(), 1_200.0)
    assert late is not None and late.who.endswith("and 27 more") and len(reminder(late).text) <= 2_000  # type: ignore[union-attr]


class Evening:
    """A wedding with an emergency, a crew of three, and an `Alerting` that reads the journal."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.wedding = Wedding.objects.create(
            slug="rose-garden", names="Ana & Tom", venue="Rose Garden", timezone="Europe/London", ceremony_at=START
        )
        self.crew = [
            Member.objects.create(wedding=self.wedding, name=name, role=role)
            for name, role in (("Ada", "planner"), ("DJ Max", "vendor"), ("Lena", "vendor"), ("Maya", "guest"))
        ]
        self.alerting = Alerting(folder)
        self.delivery = Delivery(lambda receiver, notice, now: Outcome(True, "taken"))
        self.offset = 0

    def say(self, who: int, kind: str, data: dict[str, Any]) -> None:
        self.offset += 1
        JournalEntry.objects.create(
            room=Room.objects.get(name="rose-garden"), offset=self.offset, kind=kind, audience=127, data=json.dumps(data),
            publication_id=f"p{self.offset}", member=self.crew[who].public_id, role=self.crew[who].role, at=self.clock.now(),
        )  # fmt: skip

    def pass_by(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            now = self.clock.now()
            report = WorkerReport(
                "w1.1", "w1", "h", 1, now.timestamp(), 0.0, "ready", weddings={"rose-garden": WeddingReport({})}
            )
            self.alerting.step([report], now)
            self.delivery.step(now)


pytestmark = pytest.mark.django_db(databases=["default", "history"])


@pytest.fixture
def paged(tmp_path: Path) -> Evening:
    Receiver.objects.create(name="planner-sms", kind="webhook", target="http://127.0.0.1:9/", wedding="rose-garden")
    Receiver.objects.create(name="elsewhere", kind="webhook", target="http://127.0.0.1:9/", wedding="harbour-loft")
    return Evening(tmp_path)


def test_the_crew_is_reminded_three_times_and_then_the_planner_s_own_receiver_is_paged(paged: Evening) -> None:
    paged.say(0, "emergency.alert", {"alert": "a1", "category": "medical", "text": "Guest collapsed."})
    paged.pass_by(40)
    paged.say(1, "seen", {"about": "emergency a1"})
    assert OutboxEntry.objects.count() == 1 and Notice.objects.count() == 0
    paged.pass_by(90)
    texts = [json.loads(row.data)["text"] for row in OutboxEntry.objects.order_by("pk")]
    assert len(texts) == 3 and "DJ Max, Lena" in texts[0] and "DJ Max" not in texts[1]
    assert {row.kind for row in OutboxEntry.objects.all()} == {"chat.crew"}
    (notice,) = Notice.objects.all()
    assert notice.receiver.name == "planner-sms"
    (told,) = notice.content
    assert "not confirmed by Lena" in told["annotations"]["description"] and "Lena" not in str(told["labels"])
    paged.say(2, "seen", {"about": "emergency a1"})
    paged.pass_by(4)
    assert Alert.objects.get().resolved_at is not None and Notice.objects.count() == 2


def test_the_all_clear_ends_it_and_another_holder_of_the_lease_reminds_nobody_twice(paged: Evening, tmp_path: Path) -> None:
    paged.say(0, "emergency.alert", {"alert": "a1", "category": "fire", "text": "Smoke in the kitchen."})
    paged.pass_by(40)
    paged.alerting = Alerting(tmp_path)
    paged.pass_by(4)
    assert OutboxEntry.objects.count() == 1
    paged.say(0, "emergency.alert", {"alert": "a1", "category": "fire", "text": "Only toast.", "state": "all_clear"})
    paged.pass_by(200)
    assert OutboxEntry.objects.count() == 1 and Alert.objects.count() == 0


def test_an_old_emergency_is_nobody_s_business_any_more(paged: Evening) -> None:
    paged.say(0, "emergency.alert", {"alert": "a1", "category": "fire", "text": "Smoke."})
    paged.clock.advance(3_601)
    assert confirmations.check(["rose-garden"], paged.clock.now()) == ({}, {})
    assert confirmations.check(["harbour-loft"], START + timedelta(minutes=3)) == ({}, {})


def test_a_journal_that_is_away_leaves_the_rest_of_the_alerts_alone(paged: Evening) -> None:
    with patch("monitoring.confirmations.JournalEntry.objects.filter", side_effect=DatabaseError("gone")):
        paged.pass_by(5)
    unseen = [alert for alert in paged.alerting.step(None, paged.clock.now()) if alert.rule == "emergency-unseen"]
    assert [alert.state for alert in unseen] == ["no_data"]
    assert of("wedding", "rose-garden") not in {alert.labels for alert in unseen}
