"""Rules, alerts, silences, receivers and incidents as an operator meets them in the admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client

from monitoring import alerting, incidents, paging
from monitoring.dashboard.actions import UNWRITTEN
from monitoring.delivery import Delivery
from monitoring.models import Alert, AlertRule, DrillRun, Incident, Notice, Receiver, Silence, StoredReport
from monitoring.notifiers import Outcome
from wedsync.weddings.models import Wedding

pytestmark = pytest.mark.django_db(databases=["default", "history"])
NOON = datetime(2027, 7, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", password="x"))
    return client


@pytest.fixture
def incident() -> Incident:
    alert = Alert.objects.create(
        fingerprint="f", rule="worker-missing", labels={"worker": "w2"}, severity="page", state="firing", told="firing",
        raised_at=NOON, fired_at=NOON + timedelta(seconds=2), reason="3 is above 2", kept={"some": "thing"},
    )  # fmt: skip
    incidents.follow(alert, "A worker does not report any more (worker w2)", alert.fired_at)
    return Incident.objects.get()


def said(page: Any) -> str:
    return " ".join(str(message) for message in page.context["messages"])


def test_every_page_opens(admin: Client, incident: Incident) -> None:
    receiver = Receiver.objects.create(name="duty", kind="email", target="a@example.com")
    Silence.objects.create(author="ada", reason="r", starts_at=NOON, ends_at=NOON + timedelta(hours=1))
    paging.start("ada", NOON)
    StoredReport.objects.create(wedding="rose-garden", made_at=NOON, file="{}")
    DrillRun.objects.create(name="kill", started_at=NOON, ended_at=NOON + timedelta(seconds=62), passed=True)
    notice, rule = Notice.objects.get(), AlertRule.objects.all()[0]
    pages = [
        f"{name}/{q}" for name in ("alertrule", "alert", "silence", "receiver", "notice", "incident") for q in ("", "?q=a")
    ]
    pages += ["alertrule/add/", "silence/add/", "receiver/add/", f"alertrule/{rule.pk}/change/"]
    pages += [f"alert/{incident.alerts.get().pk}/change/", f"receiver/{receiver.pk}/change/", f"notice/{notice.pk}/change/"]
    pages += [f"incident/{incident.pk}/change/"]
    assert {page: admin.get(f"/admin/monitoring/{page}").status_code for page in pages} == dict.fromkeys(pages, 200)


def test_an_alert_is_acknowledged_under_one_s_name_and_cannot_be_edited(admin: Client, incident: Incident) -> None:
    alert = incident.alerts.get()
    admin.post("/admin/monitoring/alert/", {"action": "acknowledge", "_selected_action": [alert.pk]})
    alert.refresh_from_db()
    assert alert.acknowledged_by == "ada"
    for page in (f"alert/{alert.pk}/delete/", "alert/add/", f"incident/{incident.pk}/delete/", "notice/add/"):
        assert admin.post(f"/admin/monitoring/{page}", {"post": "yes"}).status_code == 403


def test_what_was_acknowledged_or_over_meanwhile_stays_so(incident: Incident) -> None:
    read_before = list(incident.alerts.all())
    incident.alerts.update(resolved_at=NOON, state="ok")
    assert incidents.acknowledge(read_before, "bob", NOON) == 0
    (alert,) = incident.alerts.all()
    assert alert.resolved_at == NOON and alert.acknowledged_by == ""


def test_a_rule_that_is_not_in_order_says_so_in_the_list(admin: Client) -> None:
    AlertRule.objects.exclude(pk=AlertRule.objects.all()[0].pk).delete()
    (rule,) = AlertRule.objects.all()
    AlertRule.objects.filter(pk=rule.pk).update(raise_at=1, clear_at=2, enabled=True)
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": rule.pk, "_save": "Save"}
    page = admin.post("/admin/monitoring/alertrule/", form)
    assert page.status_code == 200 and "clear_at: It must be over on the quiet side" in page.content.decode()
    assert AlertRule.objects.get().enabled
    AlertRule.objects.update(clear_at=None)
    assert admin.post("/admin/monitoring/alertrule/", form).status_code == 302 and not AlertRule.objects.get().enabled


def test_who_may_only_look_cannot_acknowledge(incident: Incident) -> None:
    user = get_user_model().objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_alert"))
    client = Client()
    client.force_login(user)
    act = {"action": "acknowledge", "_selected_action": [incident.alerts.get().pk]}
    client.post("/admin/monitoring/alert/", act)
    assert incident.alerts.get().acknowledged_by == ""
    user.user_permissions.add(Permission.objects.get(codename="acknowledge_alert"))
    client.post("/admin/monitoring/alert/", act)
    assert incident.alerts.get().acknowledged_by == "bob"


def test_a_silence_has_its_author_and_cannot_outlast_the_evening(admin: Client) -> None:
    form = {
        "rule": "journal-down", "labels": "{}", "reason": "new disk",
        "starts_at_0": "2027-07-03", "starts_at_1": "12:00:00", "ends_at_0": "2027-07-03", "ends_at_1": "15:00:00",
    }  # fmt: skip
    page = admin.post("/admin/monitoring/silence/add/", form)
    assert page.status_code == 200 and b"At most 2 hours for what pages." in page.content
    assert admin.post("/admin/monitoring/silence/add/", form | {"ends_at_1": "13:00:00"}).status_code == 302
    assert Silence.objects.get().author == "ada"


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ("[]", {}),
        ('""', {}),
        ("null", {}),
        ("", {}),
        ('{"worker": "w2"}', {"worker": "w2"}),
        ("[1]", None),
        (r'{"a": "\ud800"}', None),
        (r'{"\u0000": "a"}', None),
        ("[" * 100_000, None),
    ],
)
def test_a_silence_about_nothing_in_particular_is_about_everything(admin: Client, labels: str, kept: object) -> None:
    form = {
        "rule": "journal-down", "labels": labels, "reason": "new disk",
        "starts_at_0": "2027-07-03", "starts_at_1": "12:00:00", "ends_at_0": "2027-07-03", "ends_at_1": "13:00:00",
    }  # fmt: skip
    page = admin.post("/admin/monitoring/silence/add/", form)
    assert page.status_code == (302 if kept is not None else 200)
    assert admin.get("/admin/monitoring/silence/").status_code == 200
    assert [silence.labels for silence in Silence.objects.all()] == ([kept] if kept is not None else [])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("clear_at", "3", "quiet side"),
        ("raise_at", "", "This field is required"),
        ("raise_at", "abc", "Enter a number"),
        ("name", "page-me", "So test pages are called"),
        ("hidden_by", "no-such-rule", "Not names of other rules: no-such-rule"),
        ("hidden_by", "cause", "worker-missing, hidden by cause, hidden by middle, hidden by worker-missing"),
        ("for_s", "-1", "greater than or equal to 0"),
        ("signal", "moon.phase", "not one of the available choices"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(admin: Client, field: str, value: str, sentence: str) -> None:
    rule = AlertRule.objects.get(name="worker-missing")
    for name, hidden_by in {"cause": "middle other", "middle": "worker-missing", "other": "knot", "knot": "other"}.items():
        AlertRule.objects.create(name=name, title=name, signal=rule.signal, raise_at=1, hidden_by=hidden_by)
    fields = ["name", "title", "severity", "what_to_do", "signal", "direction", "raise_at"]
    fields += ["for_s", "keep_s", "no_data_s", "hidden_by"]
    form = {name: getattr(rule, name) for name in fields} | {"clear_at": "", "enabled": "on"}
    broken = {"clear_at": "1"} if field == "raise_at" else {}
    page = admin.post(f"/admin/monitoring/alertrule/{rule.pk}/change/", form | broken | {field: value})
    assert page.status_code == 200 and sentence in page.content.decode()
    assert admin.post(f"/admin/monitoring/alertrule/{rule.pk}/change/", form | {"raise_at": "3"}).status_code == 302
    assert AlertRule.objects.get(name="worker-missing").raise_at == 3


@pytest.mark.parametrize(
    "target",
    [
        "ftp://x",
        "http://",
        "http://[::1",
        "http://a]b",
        "http://host:port/",
        "http://host:99999/",
        "http://a..b/",
        f"http://{'a' * 100}.example/",
        "http://a b/",
        "http://ada:secret@example.com/",
    ],
)
def test_a_receiver_needs_an_address(admin: Client, target: str) -> None:
    form = {"name": "duty", "kind": "webhook", "target": target, "secret": "s", "at_least": "page", "enabled": "on"}
    assert b"A URL is needed" in admin.post("/admin/monitoring/receiver/add/", form).content
    wrong = admin.post("/admin/monitoring/receiver/add/", form | {"kind": "email", "target": "ada@, b@example.com"})
    assert b"E-mail addresses separated by commas" in wrong.content


@pytest.mark.parametrize("target", ["http://alertmanager:9093", "https://[::1]:8443/x", "http://münchen.example/a?b=c"])
def test_a_receiver_of_one_wedding_is_of_one_that_is_there(admin: Client, target: str) -> None:
    url, form = "/admin/monitoring/receiver/", {"name": "duty", "kind": "webhook", "target": target, "at_least": "page"}
    assert b"There is no wedding with this slug." in admin.post(f"{url}add/", form | {"wedding": "roze-garden"}).content
    wedding = Wedding.objects.create(slug="roze-garden", names="A & B", venue="V", timezone="UTC", ceremony_at=NOON)
    assert admin.post(f"{url}add/", form | {"wedding": "roze-garden"}).status_code == 302
    wedding.delete()
    receiver = Receiver.objects.get()
    Receiver.objects.update(target="http://ada:secret@example.com/")
    form |= {"wedding": "roze-garden", "at_least": "info"}
    assert admin.post(f"{url}{receiver.pk}/change/", form | {"target": "http://ada:secret@example.com/"}).status_code == 302
    assert Receiver.objects.get().at_least == "info", "it may be changed, and switched off, all the same"


def test_a_rule_whose_cause_is_gone_is_edited_like_any_other(admin: Client) -> None:
    cause = AlertRule.objects.create(name="cause", title="C", signal="worker.lag", raise_at=1)
    rule = AlertRule.objects.get(name="worker-missing")
    rule.hidden_by = "cause"
    rule.save()
    cause.delete()
    AlertRule.objects.exclude(pk=rule.pk).delete()
    listed = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": rule.pk, "_save": "Save"}
    assert admin.post("/admin/monitoring/alertrule/", listed).status_code == 302
    rule.refresh_from_db()
    assert not rule.enabled
    with pytest.raises(ValidationError, match="Not names of other rules: others"):
        rule.hidden_by = "cause others"
        rule.full_clean()


def test_a_note_and_the_end_are_on_the_time_line_and_the_page_is_exported(admin: Client, incident: Incident) -> None:
    url = f"/admin/monitoring/incident/{incident.pk}/change/"
    form = {"title": incident.title, "summary": "The host ended it.", "note": "Rack 4 had no power."}
    assert "it stays open" in said(admin.post(url, form | {"monitoring_incident_close": "1"}, follow=True)).lower()
    incident.alerts.update(resolved_at=NOON + timedelta(minutes=1))
    assert "Closed." in said(admin.post(url, form | {"note": "", "monitoring_incident_close": "1"}, follow=True))
    incident.refresh_from_db()
    assert incident.state == "closed" and incident.closed_by == "ada"
    assert b"Rack 4 had no power." in admin.get(url).content
    assert admin.get("/admin/monitoring/incident/abc/markdown/").status_code == 404
    exported = admin.get(f"/admin/monitoring/incident/{incident.pk}/markdown/")
    assert exported.status_code == 200 and exported["Content-Disposition"].endswith(f'incident-{incident.pk}.md"')
    assert "Rack 4 had no power. | ada |" in exported.content.decode()


def test_a_test_page_is_passed_when_it_got_there_and_somebody_said_so(admin: Client) -> None:
    assert paging.last() is None
    duty = Receiver.objects.create(name="duty", kind="email", target="a@example.com")
    admin.post("/admin/monitoring/receiver/", {"action": "test_page", "_selected_action": [duty.pk]})
    Receiver.objects.create(name="late", kind="email", target="b@example.com")
    test = paging.last()
    assert test is not None and test.by == "ada" and test.missed == ("duty", "late") and test.acknowledged_at is None
    Delivery(lambda receiver, notice, now: Outcome(True, "taken")).step(NOON + timedelta(days=9_999))
    admin.post("/admin/monitoring/alert/", {"action": "acknowledge", "_selected_action": [Alert.objects.get().pk]})
    test = paging.last()
    assert test is not None and test.reached == ("duty",) and test.missed == ("late",) and test.acknowledged_by == "ada"
    assert Alert.objects.get().resolved_at is not None and Incident.objects.count() == 0


def test_a_test_page_is_not_missed_by_who_takes_no_test_pages(admin: Client) -> None:
    duty = Receiver.objects.create(name="duty", kind="email", target="a@example.com")
    Receiver.objects.create(name="family", kind="email", target="b@example.com", wedding="rose-garden")
    admin.post("/admin/monitoring/receiver/", {"action": "test_page", "_selected_action": [duty.pk]})
    Delivery(lambda receiver, notice, now: Outcome(True, "taken")).step(NOON + timedelta(days=9_999))
    test = paging.last()
    assert test is not None and test.reached == ("duty",) and test.missed == ()


def test_a_test_page_that_is_told_again_still_says_what_it_is(admin: Client) -> None:
    Receiver.objects.create(name="duty", kind="email", target="a@example.com")
    paging.start("ada", NOON)
    alerting.remind(NOON + timedelta(minutes=5))
    first, again = (notice.content[0]["annotations"] for notice in Notice.objects.order_by("pk"))
    assert again["summary"] == first["summary"] == "A test by ada: please acknowledge"
    assert again["what_to_do"] == first["what_to_do"] and "Nobody has acknowledged this" in again["description"]


def test_what_cannot_be_written_down_is_said_and_not_done(admin: Client, incident: Incident) -> None:
    form = {
        "rule": "journal-down", "labels": "{}", "reason": "new disk",
        "starts_at_0": "2027-07-03", "starts_at_1": "12:00:00", "ends_at_0": "2027-07-03", "ends_at_1": "13:00:00",
    }  # fmt: skip
    locked = OperationalError("database is locked")
    with patch("monitoring.incidents.acknowledge", side_effect=locked), patch.object(Silence, "save", side_effect=locked):
        act = {"action": "acknowledge", "_selected_action": [incident.alerts.get().pk]}
        assert UNWRITTEN in said(admin.post("/admin/monitoring/alert/?q=worker", act, follow=True))
        assert UNWRITTEN in said(admin.post("/admin/monitoring/silence/add/", form, follow=True))
    assert incident.alerts.get().acknowledged_by == "" and not Silence.objects.exists()
