"""`manage.py scale`: show, pin, mode, and a day replayed; the rows behind it and their admin."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client

from monitoring.models import AuditEntry, PlacementEvent, ScalingEvent, ScalingMode, ScalingPin, WindowOverride
from monitoring.models.scaling import orders, overrides
from realtime.clock import SystemClock
from realtime.policy.rebalancing import MovePlan
from realtime.policy.scaling import ScalingDecision

CALENDAR = str(Path(__file__).parents[2] / "wedsync/weddings/demo/calendar/saturday-june.csv")
NOW = SystemClock().now()
pytestmark = pytest.mark.django_db(databases=["default", "history"])


def scale(*args: str) -> str:
    out = StringIO()
    call_command("scale", *args, stdout=out)
    return out.getvalue()


def decision(**more: object) -> ScalingDecision:
    return ScalingDecision(2, 3, "calendar needs 3", "calendar", {"calendar": 2.1}, 3, True, False, "auto")


def test_it_shows_the_last_decision_and_why() -> None:
    assert "does the control loop run?" in scale()
    ScalingEvent.of(decision(), NOW).save()
    assert "have 2, want 3: calendar needs 3" in scale()
    assert json.loads(scale("--json"))["decision"]["want"] == 3


def test_a_pin_names_a_person_and_runs_out() -> None:
    shown = scale("--pin", "5", "--for", "2h", "--who", "Maria Lang", "--reason", "rehearsal")
    assert "5 workers" in shown and "Maria Lang" in shown
    assert (pin := orders(SystemClock().now()).pin) is not None and pin.workers == 5
    assert orders(SystemClock().now() + timedelta(hours=2, minutes=1)).pin is None
    scale("--unpin", "--who", "Maria Lang")
    assert orders(SystemClock().now()).pin is None


PIN = ["--pin", "5", "--who", "M", "--reason", "r"]
DAY = ["--simulate", CALENDAR]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--pin", "5", "--who", "Maria Lang"], "reason"),
        (["--pin", "5", "--reason", "why not"], "person"),
        (["--pin", "5"], "^--who and --reason are needed: a pin has a person and a reason$"),
        (["--pin", "0", "--who", "M", "--reason", "r"], "greater than or equal to 1"),
        ([*PIN, "--for", "48h"], "within 24 h"),
        ([*PIN, "--for", "99999999999h"], "within 24 h"),
        ([*PIN, "--for", "9" * 400 + "m"], "within 24 h"),
        ([*PIN, "--for", "0m"], "more than 0"),
        ([*PIN, "--for", "soon"], "not a time"),
        (["--mode", "auto"], "--who"),
        (["--unpin"], "--who"),
        (["--pin", "1001", "--who", "M", "--reason", "r"], "At most 1,000"),
        (["--html", "day.html"], "^--html: only with --simulate$"),
        (["--turnout", "2"], "^--turnout: only with --simulate$"),
        ([*PIN, "--max-workers", "4"], "^--max-workers: only with --simulate$"),
        (["--simulate", "/nowhere.csv"], "No such file"),
        (["--simulate", "/"], "Is a directory"),
        (["--simulate", __file__], "cannot be read"),
        (["--simulate", "/dev/zero"], "cannot be read"),
        *(([*DAY, "--capacity", n], "--capacity .*: at least 1") for n in ("0", "-5")),
        *(([*DAY, "--max-workers", n], "--max-workers .*: at least 1") for n in ("0", "-5")),
        *(([*DAY, "--connections", n], "--connections .*: at least 1") for n in ("0", "-5")),
        *(([*DAY, "--turnout", n], "--turnout .*: more than 0") for n in ("nan", "inf", "-1", "0", "1e300")),
        ([*DAY, "--svg", "/nonexist/x.svg"], "--svg /nonexist/x.svg: it cannot be written there"),
        ([*DAY, "--html", "/"], "--html /: it is a folder"),
        ([*DAY, "--html", __file__ + "/x"], "it cannot be written there"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(
    args: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.management.commands.scale.simulate", lambda *a, **k: pytest.fail("it simulates"))
    with pytest.raises(CommandError, match=says) as refused:
        scale(*args)
    assert refused.value.returncode == 2 and not ScalingPin.objects.exists()


def test_to_end_a_pin_ends_the_one_that_holds_and_none_that_is_planned() -> None:
    now = SystemClock().now()
    planned = ScalingPin(at=now + timedelta(hours=1), until=now + timedelta(hours=2), workers=4, who="Ben", reason="the fair")
    planned.save()
    scale("--pin", "5", "--for", "2h", "--who", "Maria Lang", "--reason", "rehearsal")
    scale("--unpin", "--who", "Maria Lang")
    assert orders(SystemClock().now()).pin is None
    assert (pin := orders(now + timedelta(minutes=90)).pin) is not None and pin.workers == 4


@pytest.mark.parametrize(("model", "more"), [(ScalingPin, {"workers": 3}), (WindowOverride, {})])
def test_what_is_planned_can_be_called_off_before_it_begins(model: Any, more: dict[str, object]) -> None:
    client, now = Client(), SystemClock().now()
    client.force_login(get_user_model().objects.create_superuser("mallory", password="x"))
    row = model(at=now + timedelta(hours=1), until=now + timedelta(hours=2), who="Ben", reason="the fair", **more)
    row.save()
    url = f"/admin/monitoring/{model._meta.model_name}/{row.pk}/change/"
    assert client.post(url, ends(now)).status_code == 302
    assert not model.objects.filter(at__lte=now + timedelta(minutes=90), until__gt=now + timedelta(minutes=90)).exists()
    assert audited() == [("mallory", f"end {model._meta.verbose_name}")]


def test_the_mode_is_what_was_said_last() -> None:
    assert orders(SystemClock().now()).mode == "advise"
    scale("--mode", "auto", "--who", "Maria Lang")
    assert orders(SystemClock().now()).mode == "auto"
    assert "mode off" in scale("--mode", "off", "--who", "Maria Lang")


def test_an_override_of_windows_names_a_person_and_a_reason() -> None:
    with pytest.raises(ValidationError):
        WindowOverride(at=NOW, until=NOW + timedelta(hours=1), who="", reason="fix").save()
    WindowOverride(at=NOW, until=NOW + timedelta(hours=1), who="Maria Lang", reason="security fix").save()
    assert [said.who for said in overrides(NOW)] == ["Maria Lang"]
    assert overrides(NOW + timedelta(hours=1)) == []


@pytest.mark.parametrize(("day", "title"), [((), "12 June 2027"), (("--date", "2027-11-06"), "6 November 2027")])
def test_a_day_is_replayed_and_drawn(tmp_path: Path, day: tuple[str, ...], title: str) -> None:
    svg, html = tmp_path / "day.svg", tmp_path / "day.html"
    said = scale("--simulate", CALENDAR, *day, "--svg", str(svg), "--html", str(html))
    assert title in said and "room at every moment" in said
    drawn = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    words = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"UTC", "people", "workers", "expected", "people there"} <= words
    page = html.read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and page.count("<tr>") > 5  # one for phones; and every decision


def test_a_day_for_programs() -> None:
    done = json.loads(
        scale("--simulate", CALENDAR, "--json", "--connections", "1100", "--capacity", "150", "--max-workers", "8")
    )
    assert 900 < max(point["actual"] for point in done["points"]) < 1_300
    assert done["reversals_in_an_hour"] <= 1 and done["short_min"] == 0
    assert done["ups"] >= 5 and done["downs"] >= 4
    assert max(point["have"] for point in done["points"]) == 8


def test_the_admin_shows_decisions_and_lets_nobody_change_them() -> None:
    ScalingEvent.of(decision(), NOW).save()
    PlacementEvent.of(MovePlan("ana-tom", "w1", "w2", 46, 20.0, "w1 carries 1.30 times the mean"), NOW).save()
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("maria", password="x"))
    page = client.get("/admin/monitoring/scalingevent/")
    assert page.status_code == 200 and "calendar needs 3" in page.content.decode()
    assert "ana-tom" in client.get("/admin/monitoring/placementevent/").content.decode()
    for model in ("scalingevent", "placementevent", "scalingmode"):
        assert client.get(f"/admin/monitoring/{model}/add/").status_code == 403
    assert client.get("/admin/monitoring/scalingpin/add/").status_code == 200


def audited() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("who", "what"))


def test_what_the_command_says_is_in_the_audit() -> None:
    scale("--pin", "5", "--for", "2h", "--who", "Maria Lang", "--reason", "rehearsal")
    scale("--unpin", "--who", "Ben")
    scale("--unpin", "--who", "Ben")
    scale("--mode", "auto", "--who", "Maria Lang")
    assert audited() == [("Maria Lang", "pin 5 workers"), ("Ben", "unpin"), ("Maria Lang", "mode auto")]


def test_what_cannot_be_written_down_does_not_hold() -> None:
    held = ScalingPin(at=NOW, until=NOW + timedelta(hours=1), workers=2, who="Ben", reason="r")
    held.save()
    with patch("monitoring.telling.append", side_effect=OperationalError("locked")):
        for args in (
            ["--pin", "5", "--who", "M", "--reason", "r"],
            ["--unpin", "--who", "M"],
            ["--mode", "auto", "--who", "M"],
        ):
            with pytest.raises(CommandError, match="the database cannot do it .locked."):
                scale(*args)
    assert list(ScalingPin.objects.values_list("until", flat=True)) == [held.until] and not ScalingMode.objects.exists()


def form(until: datetime, **more: object) -> dict[str, object]:
    return {"at_0": f"{NOW:%Y-%m-%d}", "at_1": f"{NOW:%H:%M:%S}"} | ends(until) | more


def ends(until: datetime) -> dict[str, object]:
    return {"until_0": f"{until:%Y-%m-%d}", "until_1": f"{until:%H:%M:%S}"}


@pytest.mark.parametrize(("model", "more"), [(ScalingPin, {"workers": 3}), (WindowOverride, {})])
def test_the_admin_takes_the_name_of_who_is_logged_in_and_only_ends_earlier(model: Any, more: dict[str, object]) -> None:
    client, url = Client(), f"/admin/monitoring/{model._meta.model_name}/"
    client.force_login(get_user_model().objects.create_superuser("mallory", password="x"))
    until = NOW + timedelta(hours=2)
    assert client.post(f"{url}add/", form(until, who="grace", reason="the fair", **more)).status_code == 302
    row = model.objects.get()
    assert (row.who, row.reason) == ("mallory", "the fair")
    assert audited() == [("mallory", f"add {model._meta.verbose_name}")]
    change = f"{url}{row.pk}/change/"
    assert client.post(change, ends(until + timedelta(hours=1))).status_code == 200, "not for longer"
    assert client.post(change, form(NOW + timedelta(hours=1), who="ada", reason="else", workers=9)).status_code == 302
    row.refresh_from_db()
    assert (row.who, row.reason) == ("mallory", "the fair") and abs(row.until - NOW - timedelta(hours=1)) < timedelta(seconds=2)
    assert audited()[1:] == [("mallory", f"end {model._meta.verbose_name}")]
    assert client.post(change, ends(NOW - timedelta(hours=1))).status_code == 302
    row.refresh_from_db()
    assert NOW < row.until <= SystemClock().now(), "now, and not before"
    assert client.post(change, ends(row.until + timedelta(hours=1))).status_code == 200
