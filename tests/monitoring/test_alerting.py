"""From reports to pages, with a turned clock and the real database: what is told, kept, and handed over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections
from django.test.utils import CaptureQueriesContext

from monitoring import alerting, incidents
from monitoring.alerting import Alerting
from monitoring.delivery import Delivery
from monitoring.models import Alert, AlertRule, Incident, Notice, Receiver, Silence
from monitoring.notifiers import Outcome
from monitoring.signals import SIGNALS
from realtime.report import WeddingReport, WorkerReport
from tests.fakes import ManualClock
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(databases=["default", "history"])


class Day:
    """A fleet of workers that report every second to an `Alerting` that may be replaced."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.delivery = Delivery(lambda receiver, notice, now: Outcome(True, "taken"))
        self.reachable = True
        self.happened: list[tuple[str, str]] = []
        self.folder = folder
        self.workers: dict[str, dict[str, Any]] = {"w1": {}, "w2": {}}
        self.take_over()

    def take_over(self) -> None:
        self.alerting = Alerting(self.folder)
        self.began_s = self.clock.set_s

    @property
    def ahead_s(self) -> float:
        return self.began_s - self.clock.set_s

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def second(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(1)
            reports = [
                WorkerReport(f"{slot}.1", slot, "h", 1, self.now.timestamp(), 0.0, **{"state": "ready"} | fields)
                for slot, fields in self.workers.items()
            ]
            self.alerting.step(reports, self.now, self.happened, ahead_s=self.ahead_s)
            if self.reachable:
                self.delivery.step(self.now)

    def rules(self) -> list[str]:
        return sorted(f"{row.rule} {row.subject}".strip() for row in Alert.objects.filter(resolved_at=None))


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    Receiver.objects.create(name="duty", kind="webhook", target="http://127.0.0.1:9/")
    with patch("monitoring.alerting.free_share", return_value=0.5):
        yield Day(tmp_path)


def notices() -> list[list[str]]:
    return [[f"{a['status']} {a['labels']['alertname']}" for a in notice.content] for notice in Notice.objects.order_by("pk")]


def test_the_defaults_are_sound() -> None:
    rules = list(AlertRule.objects.all())
    assert len(rules) >= 15
    for rule in rules:
        rule.full_clean()
        assert rule.signal in SIGNALS and rule.as_rule.keep_s >= 0
    assert set(SIGNALS) == {rule.signal for rule in rules}  # what is read is watched


def test_every_default_rule_is_documented_with_what_to_do() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    for rule in AlertRule.objects.all():
        row = next((line for line in text.splitlines() if line.startswith(f"| `{rule.name}` | {rule.severity} |")), "")
        assert f"`{rule.signal}`" in row and rule.what_to_do in row, rule.name


def test_a_quiet_fleet_tells_nothing(day: Day) -> None:
    day.second(30)
    assert day.rules() == [] and notices() == []


def test_a_worker_that_is_killed_pages_within_three_seconds_and_opens_an_incident(day: Day) -> None:
    day.second(5)
    del day.workers["w2"]
    day.second(3)
    assert day.rules() == ["worker-missing worker w2"]
    (notice,) = Notice.objects.all()
    (told,) = notice.content
    assert notice.severity == "page"
    assert told["labels"] == {"alertname": "worker-missing", "severity": "page", "source": "wedsync", "worker": "w2"}
    assert told["annotations"]["summary"] == "A worker does not report any more (worker w2)"
    incident = Incident.objects.get()
    assert incident.state == "open" and incident.alerts.count() == 1
    day.workers["w2"] = {}
    day.second(10)
    assert day.rules() == [] and notices()[-1] == ["resolved worker-missing"]
    incident.refresh_from_db()
    assert incident.state == "mitigated"


def test_a_stall_every_second_is_told_after_ten_and_over_a_minute_after_it_ended(day: Day) -> None:
    day.workers["w1"] = {"lag_s": 0.2}
    day.second(10)
    assert day.rules() == []
    day.second(2)
    assert day.rules() == ["worker-lag worker w1"]
    day.workers["w1"] = {"lag_s": 0.001}
    day.second(70)
    assert day.rules() == []
    assert notices() == []  # a ticket: the receiver wants pages only


def test_another_holder_of_the_lease_goes_on_and_tells_nothing_twice(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(8)
    assert notices() == [["firing journal-down"]]
    day.take_over()
    day.second(8)
    assert notices() == [["firing journal-down"]]
    day.workers["w1"] = {}
    day.second(64)
    assert notices() == [["firing journal-down"], ["resolved journal-down"]]
    assert Alert.objects.count() == 1


def test_who_was_paged_hears_the_end_though_the_rule_has_become_a_ticket_meanwhile(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(8)
    AlertRule.objects.filter(name="journal-down").update(severity="ticket")
    day.second(12)
    day.workers["w1"] = {}
    day.second(64)
    assert notices() == [["firing journal-down"], ["resolved journal-down"]]
    assert Incident.objects.get().state == "mitigated"


def test_who_is_still_away_when_another_takes_the_lease_is_not_told_as_back(day: Day) -> None:
    Receiver.objects.update(at_least="ticket")
    day.workers["w1"] = {"weddings": {"rose": WeddingReport({"guest": 3, "planner": 1})}}
    day.second(5)
    day.workers = {"w1": {"weddings": {"rose": WeddingReport({"guest": 3})}}}
    day.second(80)
    told = notices()
    assert day.rules() == ["planner-away wedding rose", "worker-missing worker w2"]
    day.take_over()
    day.clock.advance(3)
    day.second(150)
    assert notices() == told and len(day.rules()) == 2
    day.workers = {"w1": {"weddings": {"rose": WeddingReport({"guest": 3, "planner": 1})}}, "w2": {}}
    day.second(70)
    assert day.rules() == [] and len(notices()) == len(told) + 2


def test_a_row_that_cannot_be_read_keeps_the_others_from_nothing(day: Day) -> None:
    times = {"starts_at": day.now, "ends_at": day.now + timedelta(minutes=5)}
    Silence.objects.create(rule="worker-lag", labels=[], author="ada", reason="r", **times)
    Silence.objects.create(rule="worker-missing", author="ada", reason="r", **times)
    day.workers["w1"] = {"journal_healthy": False}
    day.second(3)
    del day.workers["w2"]
    day.second(8)
    assert notices() == [["firing journal-down"]]
    Alert.objects.update(kept={"strange": 1})
    day.take_over()
    day.second(8)
    assert notices()[-1] == ["firing journal-down"]


@pytest.mark.parametrize("step_s", [-3_600.0, 3_600.0])
def test_durations_do_not_notice_that_the_clock_is_set(day: Day, step_s: float) -> None:
    AlertRule.objects.filter(name="clock-offset").update(severity="page")
    day.workers["w1"] = {"journal_healthy": False}
    day.second(20)
    incidents.acknowledge(Alert.objects.all(), "ada", day.now)
    day.clock.set_s = step_s
    day.second(10)
    assert notices() == [["firing journal-down"]]
    del day.workers["w2"]
    day.second(3)
    alert = Alert.objects.get(rule="worker-missing")
    assert notices()[-1] == ["firing worker-missing"] and timedelta() <= day.now - alert.raised_at < timedelta(seconds=3)
    day.workers = {"w1": {}, "w2": {}}
    day.second(64)
    assert day.rules() == [] and len(notices()) == 4


def test_what_people_order_counts_after_the_clock_was_set_back(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(20)
    day.clock.set_s = -3_600.0
    Silence.objects.create(
        rule="worker-missing", author="ada", reason="r", starts_at=day.now, ends_at=day.now + timedelta(minutes=10)
    )
    day.second(3)
    del day.workers["w2"]
    day.second(10)
    assert notices() == [["firing journal-down"]]
    day.second(290)
    assert notices() == [["firing journal-down"]] * 2  # nobody has acknowledged it for five minutes


@pytest.mark.parametrize("away_s", [0.0, -3_600.0])
def test_holds_go_on_where_another_holder_left_them_whatever_the_clock_was_set_to(day: Day, away_s: float) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.clock.set_s = 3_600.0
    day.second(20)
    day.clock.set_s = 0.0
    day.second(20)
    day.workers["w1"] = {}
    day.second(30)
    assert len(day.rules()) == 1
    day.clock.set_s = away_s
    day.take_over()
    day.second(35 if away_s == 0.0 else 65)
    assert day.rules() == []


def test_a_page_without_readings_is_told_as_not_known_and_stays_open(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(8)
    for _ in range(200):
        day.clock.advance(5)
        day.alerting.step(None, day.now)
    told = [a for notice in Notice.objects.order_by("pk") for a in notice.content if a["labels"]["alertname"] == "journal-down"]
    assert {a["status"] for a in told} == {"firing"}
    assert told[-1]["annotations"]["summary"] == "Not known, no readings: Publications cannot be stored (worker w1)"
    assert "journal-down worker w1" in day.rules()


def test_a_database_that_falters_while_the_lease_is_taken_ends_no_alert(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(8)
    day.take_over()
    with patch("monitoring.models.AlertRule.objects.filter", side_effect=DatabaseError("gone")):
        day.second(3)
    day.second(8)
    assert notices() == [["firing journal-down"]] and len(day.rules()) == 1


def test_a_page_about_people_keeps_no_worker_from_being_taken_away(day: Day) -> None:
    with patch("monitoring.alerting.confirmations.check", return_value=({(("wedding", "rose"),): 500.0}, {})):
        day.second(5)
        assert day.rules() == ["emergency-unseen wedding rose"] and day.alerting.broken() == ""
        day.workers["w1"] = {"journal_healthy": False}
        day.second(8)
        assert day.alerting.broken() == "journal-down"


def test_the_history_database_may_stop_for_a_minute(day: Day) -> None:
    day.second(3)
    day.workers["w1"] = {"journal_healthy": False}
    with (
        patch("monitoring.alerting.transaction.atomic", side_effect=DatabaseError("gone")),
        patch("monitoring.alerting.waiting", side_effect=DatabaseError("gone")),
    ):
        day.second(60)
    assert Alert.objects.count() == 0
    day.second()
    alert = Alert.objects.get()
    assert notices() == [["firing journal-down"]] and day.now - alert.fired_at > timedelta(seconds=50)


def test_a_rule_that_is_changed_in_the_admin_counts_two_seconds_later(day: Day) -> None:
    AlertRule.objects.filter(name="worker-busy").update(raise_at=0.1, for_s=0)
    day.workers["w1"] = {"busy": 0.5}
    day.second(2)
    assert day.rules() == ["worker-busy worker w1"]
    AlertRule.objects.filter(name="worker-busy").update(enabled=False)
    day.second(3)
    assert day.rules() == []


def test_a_silence_keeps_quiet_until_its_end(day: Day) -> None:
    Silence.objects.create(
        rule="journal-down", author="ada", reason="new disk", starts_at=day.now, ends_at=day.now + timedelta(seconds=60)
    )
    day.workers["w1"] = {"journal_healthy": False}
    day.second(55)
    assert notices() == [] and Incident.objects.count() == 0
    day.second(10)
    assert notices() == [["firing journal-down"]]


@pytest.mark.parametrize(
    ("rule", "hours", "wrong"),
    [
        ("worker-busy", 24, False),
        ("worker-busy", 24 * 8, True),
        ("journal-down", 2, False),
        ("journal-down", 3, True),
        ("", 3, True),
    ],
)
def test_what_pages_is_silenced_for_two_hours_at_most(day: Day, rule: str, hours: int, wrong: bool) -> None:
    silence = Silence(rule=rule, author="a", reason="r", starts_at=day.now, ends_at=day.now + timedelta(hours=hours))
    if wrong:
        with pytest.raises(ValidationError):
            silence.full_clean()
    else:
        silence.full_clean()


def test_a_page_nobody_acknowledges_is_told_again_and_an_acknowledged_one_is_not(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(8)
    day.clock.advance(300)
    day.second(4)
    assert notices() == [["firing journal-down"]] * 2
    assert "Nobody has acknowledged this for 5 min" in Notice.objects.latest("pk").content[0]["annotations"]["description"]
    assert incidents.acknowledge(Alert.objects.all(), "ada", day.now) == 1
    assert incidents.acknowledge(Alert.objects.all(), "bob", day.now) == 0
    day.clock.advance(3_600)
    day.second(4)
    assert len(notices()) == 2
    assert Incident.objects.get().acknowledged_by == "ada"


def test_a_storm_is_few_notices_and_every_alert_is_in_one(day: Day) -> None:
    day.workers = {f"w{n}": {} for n in range(250)}
    day.second(3)
    day.workers = {"w0": {}}
    day.second(4)
    told = [alert for batch in notices() for alert in batch]
    assert len(told) == 249 and len(notices()) == 3
    assert Incident.objects.count() == 1


def test_the_incident_tells_its_story(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(8)
    incidents.acknowledge(Alert.objects.all(), "ada", day.now)
    incidents.note(incidents.Kind.NOTE, "Disk | was full", day.now, "ada")
    day.workers["w1"] = {}
    day.second(70)
    incident = Incident.objects.get()
    steps = incidents.durations(incident)
    assert steps["detect"] == timedelta(seconds=5)
    assert steps["acknowledge"] == timedelta(seconds=7) and steps["mitigate"] == timedelta(seconds=68)
    text = incidents.markdown(incident)
    assert (
        "- Time to acknowledge: 7 s, by ada" in text and "Disk \\| was full" in text and "Publications cannot be stored" in text
    )
    assert incidents.close(incident, "ada", day.now) and not incidents.close(incident, "bob", day.now)
    assert incidents.note(incidents.Kind.NOTE, "later", day.now) is None


def test_without_something_to_write_no_transaction_is_begun(day: Day) -> None:
    """On SQLite each would take the lock of the file, every second of the ten minutes that a decision is kept."""
    day.happened = [("decision", "have 2, want 3: the next hour is short")]
    day.second()
    day.happened = []
    with CaptureQueriesContext(connections["history"]) as asked:
        day.second(5)
    assert asked.captured_queries and not [query["sql"] for query in asked.captured_queries if "SAVEPOINT" in query["sql"]]


def test_what_happened_shortly_before_and_during_an_incident_is_on_its_time_line(day: Day) -> None:
    day.second(5)
    day.clock.advance(700)
    day.workers["w1"] = {"state": "draining", "reason": "deploy of 2.1", "connections": {"guest": 1_200}}
    day.second()
    day.workers["w3"] = {}
    day.happened = [("decision", "have 2, want 3: the next hour is short")]
    day.second()
    day.happened = []
    del day.workers["w2"]
    day.second(4)
    day.workers["w2"] = {"state": "lame", "reason": "stalls"}
    day.second()
    story = [(event.kind, event.text) for event in Incident.objects.get().events.all()]
    assert story == [
        ("deploy", "w1 is draining with 1,200 people: deploy of 2.1"),
        ("worker", "w3 started (w3.1)"),
        ("decision", "have 2, want 3: the next hour is short"),
        ("worker", "w2 is gone; last seen with 0 people of 0 weddings"),
        ("alert", "page firing: A worker does not report any more (worker w2) (3 is above 2)"),
        ("worker", "w2 started (w2.1)"),
    ]


def asked_for_incidents(day: Day) -> int:
    """How often, in ten seconds in each of which a worker starts."""
    with CaptureQueriesContext(connections["history"]) as asked:
        for _ in range(10):
            day.workers[f"w{len(day.workers) + 1}"] = {}
            day.second()
    return sum('FROM "monitoring_incident"' in query["sql"] for query in asked.captured_queries)


def test_what_happens_when_nothing_fires_any_more_is_on_the_time_line_at_once(day: Day) -> None:
    day.workers["w1"] = {"journal_healthy": False}
    day.second(10)
    day.workers["w1"] = {}
    day.second(70)
    assert not day.rules() and Incident.objects.get().state == "mitigated"
    day.take_over()
    day.second(2)
    assert asked_for_incidents(day) >= 10
    texts = [event.text for event in Incident.objects.get().events.all()]
    assert [text for text in texts if "started" in text] == [f"w{number} started (w{number}.1)" for number in range(3, 13)]


def test_without_an_incident_it_is_asked_for_every_few_seconds(day: Day) -> None:
    day.second(10)
    assert asked_for_incidents(day) == 10 / alerting.ASK_S


def test_trouble_that_comes_back_soon_is_the_same_incident_and_later_another(day: Day) -> None:
    for pause_s, count in ((0, 1), (600, 1), (2_400, 2)):
        day.clock.advance(pause_s)
        day.workers["w1"] = {"journal_healthy": False}
        day.second(10)
        day.workers["w1"] = {}
        day.second(70)
        assert Incident.objects.count() == count


def test_a_page_that_does_not_get_through_is_itself_an_alert(day: Day) -> None:
    Receiver.objects.create(name="other", kind="email", target="ada@example.com")
    day.reachable = False
    day.workers["w1"] = {"journal_healthy": False}
    day.second(70)
    assert day.rules() == [
        "journal-down worker w1",
        "page-undelivered receiver duty",
        "page-undelivered receiver other",
    ]
    day.reachable = True
    day.second(5)
    assert day.rules() == ["journal-down worker w1"]


def test_what_could_not_be_read_from_the_disk_is_absent(tmp_path: Path) -> None:
    assert alerting.free_share(tmp_path / "nowhere") is None
    share = alerting.free_share(tmp_path)
    assert share is not None and 0 < share <= 1


@pytest.mark.parametrize("reached", [(), ("a@example.com",)])
def test_a_receiver_that_is_not_reached_is_told_of_once_and_it_ends(day: Day, reached: tuple[str, ...]) -> None:
    Receiver.objects.update(kind="email", target="a@example.com, b@example.com")
    day.delivery = Delivery(lambda receiver, notice, now: Outcome(False, "550", final=True, reached=reached))
    day.workers["w1"] = {"journal_healthy": False}
    day.second(24)
    incidents.acknowledge(Alert.objects.all(), "ada", day.now)
    told = []
    for _ in range(150):
        day.clock.advance(59)
        day.second()
        incidents.acknowledge(Alert.objects.all(), "ada", day.now)
        told.append("page-undelivered receiver duty" in day.rules())
    assert any(told[:5]) != bool(reached) and not any(told[70:])
    assert notices() == [["firing journal-down"]] + [["firing page-undelivered"], ["resolved page-undelivered"]] * (not reached)


def test_who_was_back_before_another_took_the_lease_is_not_told_as_missing_since(day: Day) -> None:
    day.second(5)
    fields = day.workers.pop("w2")
    day.second(4)
    day.workers["w2"] = fields
    day.second(2)
    worst = Alert.objects.get().worst
    day.clock.advance(600)
    day.take_over()
    day.second(12)
    assert Alert.objects.get().worst == worst and day.rules() == []
