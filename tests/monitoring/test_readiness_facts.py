"""What is known about a day, from the databases; the command and the page that judge it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

from monitoring import paging
from monitoring.delivery import Delivery
from monitoring.history import store
from monitoring.incidents import acknowledge
from monitoring.models import Alert, DrillRun, Incident, Receiver, Silence
from monitoring.notifiers import Outcome
from monitoring.readiness import REQUIRED
from monitoring.readiness_facts import asked_day, gather, running
from monitoring.rollup import Summary
from monitoring.samples import TOTAL
from realtime.bootstrap import services
from realtime.clock import SystemClock
from realtime.report import WorkerReport
from wedsync.weddings.models import Wedding

pytestmark = pytest.mark.django_db(databases=["default", "history"])
DAY = date(2027, 6, 12)
EVE = datetime(2027, 6, 11, 18, 0, tzinfo=UTC)


def wedding(slug: str, zone: str, at: datetime, **more: int) -> None:
    people = {"invited_guests": 100, "vendors": 10, "planners": 2} | more
    Wedding.objects.create(slug=slug, names=slug, venue="v", timezone=zone, ceremony_at=at, **people)


@pytest.fixture
def calendar() -> None:
    """Two on the day (one of them in Auckland, where it begins while it is Friday in London), one the day after, one demo."""
    wedding("london", "Europe/London", datetime(2027, 6, 12, 14, 0, tzinfo=UTC), invited_guests=200)
    wedding("auckland", "Pacific/Auckland", datetime(2027, 6, 12, 2, 0, tzinfo=UTC))
    wedding("sunday", "Europe/London", datetime(2027, 6, 13, 14, 0, tzinfo=UTC))
    wedding("blank", "Europe/London", datetime(2027, 6, 12, 15, 0, tzinfo=UTC), invited_guests=0, vendors=0, planners=0)
    Wedding.objects.create(slug="demo", names="d", venue="v", timezone="UTC", ceremony_at=EVE + timedelta(days=1), demo=True)


@pytest.fixture
def prepared(calendar: None) -> None:
    for name in (*REQUIRED, "calibrate", "rehearsal"):
        result = {"facts": {"connections": 3_000}} if name == "calibrate" else {}
        options = {"date": "2027-06-12"} if name == "rehearsal" else {}
        ended = EVE - timedelta(hours=3)
        DrillRun.objects.create(
            name=name, started_at=ended - timedelta(minutes=2), ended_at=ended, passed=True, options=options, result=result
        )
    Receiver.objects.create(name="duty", kind="email", target="a@example.com")
    paging.start("ada", EVE - timedelta(hours=1))
    Delivery(lambda receiver, notice, now: Outcome(True, "taken")).step(EVE)
    acknowledge(Alert.objects.all(), "bob", EVE - timedelta(minutes=55))


def run(*args: str, watched: bool = True) -> tuple[int, str]:
    out = StringIO()
    with (
        patch("monitoring.management.commands.readiness.SystemClock.now", return_value=EVE),
        patch("monitoring.readiness_facts.free_share", return_value=0.5),
        patch("monitoring.readiness_facts._watched", return_value=watched),
    ):
        try:
            call_command("readiness", *args, stdout=out)
        except SystemExit as exited:
            return int(exited.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_day_is_the_date_at_the_venues(calendar: None) -> None:
    facts = gather(DAY, None)
    assert facts.weddings == 3 and facts.unknown == ("blank",)
    assert facts.peak is not None and 60 <= facts.peak <= 80
    assert facts.peak_at == datetime(2027, 6, 12, 14, 30, tzinfo=UTC)  # cocktail in London
    assert gather(date(2027, 6, 14), None).weddings == 0


def test_a_prepared_day_is_go(prepared: None) -> None:
    code, said = run("2027-06-12", "--workers", "2")
    assert code == 0 and "3 weddings" in said and "GO" in said and "NO-GO" not in said
    assert "bob acknowledged a test page after 300 s." in said
    plan = gather(DAY, 2).plan
    assert plan and plan == gather(DAY, 9).plan, "what is allowed does not change what is needed"


def test_a_plan_that_needs_more_workers_than_there_may_be_stops(prepared: None) -> None:
    calibrated().update(result={"facts": {"connections": 40}})
    need = max(step.workers for step in gather(DAY, 2).plan)
    assert need > 2
    for allowed, verdict in ((need - 1, "stop"), (need, "ok")):
        checks = json.loads(run("2027-06-12", "--workers", str(allowed), "--json")[1])["checks"]
        assert {check["name"]: check["verdict"] for check in checks}["plan"] == verdict


def test_only_who_takes_people_now_is_counted() -> None:
    now_s = SystemClock().now().timestamp()
    said = [("a", "w1", "ready", 0), ("b", "w1", "draining", 0), ("c", "w2", "ready", 0), ("d", "w2", "ready", 1)]
    said += [("e", "w3", "lame", 0), ("f", "w4", "starting", 0), ("g", "w5", "ready", 4)]
    reports = [WorkerReport(worker, slot, "h", 1, now_s - age_s, 0.0, state) for worker, slot, state, age_s in said]  # type: ignore[arg-type]

    with patch.object(type(services().registry), "reports", AsyncMock(return_value=reports)):
        assert running() == 2


def test_no_page_fires_where_nobody_looks(prepared: None) -> None:
    code, said = run("2027-06-12", "--workers", "2", watched=False)
    assert code == 1 and "Nobody evaluates alerts" in said


@pytest.mark.parametrize(
    ("noted", "redis", "age_s", "watched"),
    [(b"x", "redis://x", None, True), (None, "redis://x", 15, False), (None, "", 15, True), (None, "", 60, False)],
    ids=["a note", "no note", "its history, of a fleet with a Redis of its own", "an old one"],
)
def test_somebody_looks_when_a_control_loop_ticks(
    settings: Any, noted: bytes | None, redis: str, age_s: int | None, watched: bool
) -> None:
    settings.REDIS_URL = redis
    if age_s is not None:
        store([(TOTAL, int(SystemClock().now().timestamp()) - age_s, Summary(covered_ms=10_000))])
    with patch.object(type(services().registry), "read", AsyncMock(return_value=noted)):
        assert gather(DAY, 2).watched is watched


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("America/Chicago", datetime(2027, 6, 12, 1, 30, tzinfo=UTC), date(2027, 6, 12)),  # Friday evening
        ("Europe/London", datetime(2027, 6, 12, 1, 30, tzinfo=UTC), date(2027, 6, 13)),
        ("Pacific/Auckland", datetime(2027, 6, 11, 13, 0, tzinfo=UTC), date(2027, 6, 13)),  # Saturday at one
    ],
)
def test_tomorrow_is_that_of_the_next_wedding(zone: str, at: datetime, day: date) -> None:
    wedding("next", zone, datetime(2027, 6, 13, 1, 0, tzinfo=UTC))
    wedding("later", "Asia/Tokyo", datetime(2027, 6, 13, 9, 0, tzinfo=UTC))
    assert asked_day("tomorrow", at) == day


def calibrated() -> Any:
    return DrillRun.objects.filter(name="calibrate")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda: calibrated().delete(), "Nobody has measured what a worker carries."),
        (lambda: calibrated().update(result={"facts": {"connections": 50}}), "1 of 2 workers carry 50 people"),
        (lambda: DrillRun.objects.filter(name="kill").delete(), "It has never passed here."),
        (lambda: DrillRun.objects.create(name="storm", started_at=EVE, ended_at=EVE, passed=False), "It failed 0 hours ago."),
        (lambda: Alert.objects.all().update(acknowledged_at=None), "Nobody acknowledged the last test page."),
        (lambda: Receiver.objects.create(name="new", kind="email", target="b@example.com"), "these receivers: new"),
        (
            lambda: Alert.objects.create(
                fingerprint="f", rule="journal-down", severity="page", state="firing", told="firing", raised_at=EVE,
                fired_at=EVE, reason="r", kept={"a": 1},
            ),
            "Pages are firing: journal-down.",
        ),
    ],
    ids=["no capacity", "too small", "no drill", "failed drill", "no ack", "a receiver not reached", "a page"],
)  # fmt: skip
def test_what_is_missing_is_the_reason(prepared: None, spoil: object, reason: str) -> None:
    spoil()  # type: ignore[operator]
    code, said = run("2027-06-12", "--workers", "2", "--json")
    answer = json.loads(said)
    assert code == 1 and not answer["go"]
    assert any(reason in check["said"] for check in answer["checks"] if check["verdict"] == "stop")


@pytest.mark.parametrize(("options", "verdict"), [({}, "ok"), ({"calendar": "other.csv"}, "risk")], ids=["own", "a file"])
def test_a_rehearsal_of_a_file_is_none_of_these_weddings(prepared: None, options: dict[str, str], verdict: str) -> None:
    DrillRun.objects.filter(name="rehearsal").update(options={"date": "2027-06-12"} | options)
    checks = json.loads(run("2027-06-12", "--workers", "2", "--json")[1])["checks"]
    assert {check["name"]: check["verdict"] for check in checks}["rehearsal"] == verdict


@pytest.mark.parametrize(
    ("people", "verdict"), [((40, 10_000), "ok"), ((10, 40), "risk")], ids=["a large one before", "small ones"]
)
def test_a_small_load_is_no_rehearsal_of_a_large_day(prepared: None, people: tuple[int, ...], verdict: str) -> None:
    for hours, connections in zip((2, 50), people, strict=True):
        ended = EVE - timedelta(hours=hours)
        DrillRun.objects.create(
            name="load", started_at=ended, ended_at=ended, passed=True, options={"connections": connections}
        )
    checks = json.loads(run("2027-06-12", "--workers", "2", "--json")[1])["checks"]
    found = next(check for check in checks if check["name"] == "drill load")
    assert found["verdict"] == verdict and ("with 40 people" in found["said"]) == (verdict == "risk")


def test_open_risks_are_told(prepared: None) -> None:
    Incident.objects.create(title="slow", started_at=EVE, detected_at=EVE)
    Silence.objects.create(
        rule="journal-down", author="ada", reason="r", starts_at=EVE, ends_at=datetime(2027, 6, 12, 12, 0, tzinfo=UTC)
    )
    code, said = run("2027-06-12", "--workers", "2", "--json")
    risks = {check["name"] for check in json.loads(said)["checks"] if check["verdict"] == "risk"}
    assert code == 0 and {"incidents", "silences", "forecast"} <= risks


@pytest.mark.parametrize("args", [("saturday",), ("9999-12-31",), ("2027-06-12", "--workers", "0")])
def test_misuse_exits_with_two(args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        run(*args)
    assert refused.value.returncode == 2


def test_the_page_of_the_admin_says_the_same(prepared: None) -> None:
    client = Client()
    url = "/admin/monitoring/drillrun/readiness/"
    assert client.get(url).status_code == 302
    client.force_login(get_user_model().objects.create_superuser("ada", password="x"))
    page = client.get(url, {"date": "2027-06-12", "workers": "2"})
    assert page.status_code == 200 and b"3 weddings" in page.content
    for odd in ({"date": "soon"}, {"date": "9999-12-31"}, {"date": "0001-01-01"}, {"date": "2027-06-12\0"}):
        assert client.get(url, odd).status_code == 400
    for workers in ("9" * 5_000, "99999999999", "²", "0", "-1", "two"):
        answer = client.get(url, {"workers": workers})
        assert answer.status_code == 400 and b"number of workers" in answer.content
    assert b"NO-GO" in client.get(url).content
