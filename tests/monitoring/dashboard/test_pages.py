"""The pages of the dashboard: who may look, who may act, and that looking changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import OperationalError, connections
from django.test import Client

from monitoring import incidents
from monitoring.dashboard.building import fleet_status
from monitoring.dashboard.facts import read
from monitoring.dashboard.screen import POINTS, SHOWN, Point, encode
from monitoring.dashboard.shown import shown
from monitoring.dashboard.watching import Standing, Watch
from monitoring.models import Alert, PlacementEvent, ScalingPin
from monitoring.models.audit import AuditEntry
from realtime.adapters.registry import MemoryRegistry
from realtime.bootstrap import services
from realtime.clock import SystemClock
from realtime.report import Describe, Drain, WorkerReport, describes, encode_room
from realtime.reporting import room_report
from tests.monitoring.dashboard.fleet import NOON, wedding, worker
from wedsync.weddings.models import Wedding

pytestmark = pytest.mark.django_db(databases=["default", "history"])
PAGES = ("", "history/", "history/?span=365d&worker=w1", "weddings/rose/", "pin/")
clock = SystemClock()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> MemoryRegistry:
    found = MemoryRegistry(clock)
    monkeypatch.setattr(services(), "registry", found)
    return found


@pytest.fixture
def rose() -> Wedding:
    return Wedding.objects.create(
        slug="rose", names="Ana & Tom", venue="Hall", timezone="Europe/London", ceremony_at=clock.now(), invited_guests=100
    )


def client(*permissions: str, staff: bool = True, superuser: bool = False) -> Client:
    user = get_user_model().objects.create_user("ada", password="x", is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    found = Client()
    found.force_login(user)
    return found


def there(registry: MemoryRegistry, *reports: WorkerReport) -> None:
    for report in reports:
        async_to_sync(registry.report)(report)


def noted(registry: MemoryRegistry, *reports: WorkerReport) -> None:
    """As the control loop notes it."""
    now = clock.now()
    status = fleet_status(Watch(), reports, now, holder="here.1.c", tick_ms=None, scaler=None, standing=Standing(), bookings={})
    page = shown(status, read(now))
    async_to_sync(registry.note)(SHOWN, encode(page), 60)
    async_to_sync(registry.note)(POINTS, encode([Point(page.at_s, page.figures)]), 60)


def test_what_people_change_is_read_each_time_and_what_the_loop_changes_when_it_is_asked_for() -> None:
    now = clock.now()
    before = read(now)
    incidents.Incident.objects.create(title="Redis is away", started_at=now, detected_at=now)
    PlacementEvent.objects.create(at=now, wedding="rose", source="w1", target="w2", sockets=5, reason="busy")
    ScalingPin.objects.create(workers=3, at=now, until=now + timedelta(hours=1), who="ada", reason="the band plays")
    Alert.objects.create(rule="layer-down", severity="page", raised_at=now, fired_at=now)
    later = read(clock.now(), before)
    assert [incident.title for incident in later.incidents] == ["Redis is away"] and len(later.alerts) == 1
    assert later.pin is not None and later.pin.workers == 3 and later.moves == before.moves == []
    assert (later.read_s or 0) > (before.read_s or 0) and [move.wedding for move in read(clock.now()).moves] == ["rose"]


def test_every_page_opens_with_what_the_control_loop_has_noted(registry: MemoryRegistry, rose: Wedding) -> None:
    noted(registry, worker(weddings={"rose": wedding(5)}))
    ada = client(superuser=True)
    for page in PAGES:
        assert ada.get(f"/admin/monitoring/{page}").status_code == 200, page
    for url in ("/admin/", "/admin/monitoring/"):
        text = ada.get(url).content.decode()
        assert "rose" in text and 'data-testid="worker"' in text and "Drain" in text


def test_without_a_control_loop_it_says_so(registry: MemoryRegistry) -> None:
    text = client(superuser=True).get("/admin/monitoring/").content.decode()
    assert "No control loop is heard of" in text and "not known" in text


@pytest.mark.parametrize("page", [*PAGES, "workers/w/drain/", "unpin/", "alerts/1/acknowledge/"])
def test_only_staff_look(page: str) -> None:
    for stranger in (Client(), client(staff=False)):
        answer = stranger.get(f"/admin/monitoring/{page}")
        assert answer.status_code == 302 and "/admin/login/" in answer["Location"]


def test_staff_without_permissions_look_and_cannot_act(registry: MemoryRegistry, rose: Wedding) -> None:
    noted(registry, worker(weddings={"rose": wedding(5)}), worker("w2"))
    there(registry, worker(), worker("w2"))
    ada = client()
    text = ada.get("/admin/monitoring/").content.decode()
    assert "rose" in text and "Drain" not in text and "Pin…" not in text
    for page in ("workers/here.w1.a/drain/", "pin/", "unpin/", "alerts/1/acknowledge/"):
        assert ada.post(f"/admin/monitoring/{page}").status_code == 403


def orders(registry: MemoryRegistry, report: WorkerReport) -> list[Any]:
    return async_to_sync(registry.report)(report)


def test_a_drain_is_asked_then_ordered_under_a_name(registry: MemoryRegistry) -> None:
    w1, w2 = worker(weddings={"rose": wedding(5)}), worker("w2")
    there(registry, w1, w2)
    ada, url = client("drain_worker"), "/admin/monitoring/workers/here.w1.a/drain/"
    asked = ada.get(url).content.decode()
    assert "5 connections of 1 wedding are asked to go to w2" in asked and orders(registry, w1) == []
    assert "This field is required" in ada.post(url, {"reason": "", "deadline_s": "60"}).content.decode()
    ada.post(url, {"reason": "memory grows", "deadline_s": "30"})
    assert orders(registry, w1) == [Drain("memory grows (ada)", 30.0)]
    audited = AuditEntry.objects.get()
    assert (audited.who, audited.what, audited.target, audited.reason) == ("ada", "drain", w1.worker, "memory grows")


def test_the_last_worker_is_not_drained(registry: MemoryRegistry) -> None:
    w1 = worker()
    there(registry, w1)
    answer = client("drain_worker").post(
        "/admin/monitoring/workers/here.w1.a/drain/", {"reason": "r", "deadline_s": "60"}, follow=True
    )
    assert "the only worker" in answer.content.decode() and orders(registry, w1) == []


def test_a_pin_names_who_and_why_and_ends_by_itself_or_by_hand(registry: MemoryRegistry) -> None:
    ada = client("add_scalingpin")
    ada.get("/admin/monitoring/pin/")
    assert not ScalingPin.objects.exists()
    assert ada.post("/admin/monitoring/pin/", {"workers": "0", "hours": "2", "reason": "r"}).status_code == 200
    ada.post("/admin/monitoring/pin/", {"workers": "3", "hours": "2", "reason": "the fair"})
    pin = ScalingPin.objects.get()
    assert (pin.workers, pin.who, pin.reason) == (3, "ada", "the fair") and pin.until - pin.at == timedelta(hours=2)
    ada.get("/admin/monitoring/unpin/")
    assert ScalingPin.objects.filter(until__gt=clock.now()).exists()
    ada.post("/admin/monitoring/unpin/")
    assert not ScalingPin.objects.filter(until__gt=clock.now()).exists()


def alert() -> Alert:
    at = datetime.fromtimestamp(NOON, UTC)
    return Alert.objects.create(
        fingerprint="f", rule="worker-missing", labels={"worker": "w2"}, severity="page", state="firing", told="firing",
        raised_at=at, fired_at=at, reason="3 is above 2", kept={"some": "thing"},
    )  # fmt: skip


@contextmanager
def history_is_locked() -> Iterator[None]:
    def refused(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            raise OperationalError("database is locked")
        return execute(sql, *more)

    with connections["history"].execute_wrapper(refused):
        yield


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("workers/here.w1.a/drain/", {"reason": "r", "deadline_s": "60"}),
        ("pin/", {"workers": "3", "hours": "2", "reason": "the fair"}),
        ("unpin/", {}),
        ("alerts/{alert}/acknowledge/", {}),
    ],
    ids=["drain", "pin", "unpin", "acknowledge"],
)
def test_what_cannot_be_written_down_is_not_done_and_said(registry: MemoryRegistry, action: str, form: dict[str, str]) -> None:
    w1 = worker()
    there(registry, w1, worker("w2"))
    pinned = ScalingPin.objects.create(at=clock.now(), until=clock.now() + timedelta(hours=1), workers=2, who="bob", reason="r")
    ada = client("drain_worker", "add_scalingpin", "acknowledge_alert")
    url = f"/admin/monitoring/{action.format(alert=alert().pk)}"
    with history_is_locked():
        answer = ada.post(url, form, follow=True)
    assert "cannot be written down, so nothing was done" in answer.content.decode()
    assert orders(registry, w1) == [] and not AuditEntry.objects.exists()
    assert ScalingPin.objects.get().until == pinned.until and Alert.objects.get().acknowledged_at is None


def test_a_drain_that_is_ordered_is_said_to_be_although_the_time_line_cannot_have_it(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    w1 = worker()
    there(registry, w1, worker("w2"))

    def locked(*_: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(incidents, "note", locked)
    url = "/admin/monitoring/workers/here.w1.a/drain/"
    answer = client("drain_worker").post(url, {"reason": "r", "deadline_s": "60"}, follow=True)
    assert "w1 is told to send its people elsewhere" in answer.content.decode()
    assert orders(registry, w1) == [Drain("r (ada)", 60.0)]


def test_an_alert_is_acknowledged_by_a_post_under_one_s_name(registry: MemoryRegistry) -> None:
    ada, url = client("acknowledge_alert"), f"/admin/monitoring/alerts/{alert().pk}/acknowledge/"
    assert "Acknowledge this alert?" in ada.get(url).content.decode()
    assert not Alert.objects.get().acknowledged_by
    ada.post(url)
    assert Alert.objects.get().acknowledged_by == "ada"
    assert "ada takes care of it" in ada.get(url, follow=True).content.decode()


def test_a_wedding_s_page_asks_its_worker_and_shows_the_plans(registry: MemoryRegistry, rose: Wedding) -> None:
    w1 = worker(weddings={"rose": wedding(5)})
    there(registry, w1)
    ada = client()
    assert "Its workers are asked" in ada.get("/admin/monitoring/weddings/rose/").content.decode()
    assert orders(registry, w1) == [Describe("rose")]
    answer = room_report(services(), "rose")
    async_to_sync(registry.note)(describes(w1.worker, "rose"), encode_room(answer), 10)
    assert "As they were" in ada.get("/admin/monitoring/weddings/rose/").content.decode()
    assert ada.get("/admin/monitoring/weddings/ops/").status_code == 404


def test_history_is_a_table_too_and_every_recorded_model_is_exported() -> None:
    ada = client(superuser=True)
    answer = ada.get("/admin/monitoring/history/?csv=connections")
    assert answer["Content-Type"].startswith("text/csv") and b"".join(answer.streaming_content).startswith(b"at")  # type: ignore[attr-defined]
    assert ada.get("/admin/monitoring/history/?csv=nothing").status_code == 404
    assert ada.get("/admin/monitoring/history/?span=2y").status_code == 404
    ScalingPin(at=clock.now(), until=clock.now() + timedelta(hours=1), workers=2, who="ada", reason="r").save()
    for model in ("sample", "weddingminute", "scalingevent", "placementevent", "alert", "incident", "drillrun", "auditentry"):
        assert ada.get(f"/admin/monitoring/{model}/").status_code == 200, model
