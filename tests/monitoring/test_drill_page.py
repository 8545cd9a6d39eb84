"""The report of a drill: the verdict and its reasons are on it, whatever the run has measured."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from monitoring.drill_page import CSP, harms_of, html, value_of, words
from monitoring.models import DrillRun

NOW = datetime(2027, 6, 9, 12, tzinfo=UTC)
LATENCY = {"count": 10, "p50_ms": 5.0, "p95_ms": 8.0, "p99_ms": 9.5}
LOST = {
    "name": "lost",
    "count": 1,
    "first": ["load-0/chat.crew <b>id-7</b> at load-0.planner0 (planner)"],
    "sentence": "and then gone",
}


def play(*violations: dict[str, Any]) -> dict[str, Any]:
    names = ("publishes", "deliveries", "expected", "reconnects", "gaps")
    counts = dict.fromkeys(names, 1_234) | {"connections": 200, "rooms": 6, "duration_s": 12.0}
    return counts | {"violations": list(violations), "latency": {"P1": LATENCY}}


def run(*violations: dict[str, Any], **more: Any) -> DrillRun:
    result = {
        "drill": "kill",
        "load": play(*violations),
        "facts": {"replaced_s": 0.8, "rss_most_bytes": 5e7, "none": None},
    } | more
    options = {"profile": "sat-june-10k-x10", "connections": 200, "minutes": 0.2, "seed": 1}
    return DrillRun(
        name="kill", started_at=NOW, ended_at=NOW + timedelta(seconds=30), passed=not violations, options=options,
        verdict="1 lost: id-7" if violations else "", result=result,
    )  # fmt: skip


def test_a_run_that_passed() -> None:
    page = html(run(), run())
    assert "<strong>Passed.</strong>" in page and "200 people in 6 weddings" in page
    assert "There is none yet." not in page and "compare with care" not in page
    assert "<script" not in page and "http" not in page, "it stands alone"


def test_a_run_that_failed_names_the_first_messages_and_nothing_in_them_is_markup() -> None:
    page = html(run(LOST), None)
    assert "<strong>Failed.</strong> 1 lost: id-7" in page and "There is none yet." in page
    assert "&lt;b&gt;id-7&lt;/b&gt;" in page and "<b>id-7" not in page


def eventful(*violations: dict[str, Any]) -> DrillRun:
    """One with all there can be on its page."""
    return run(
        *violations,
        curve=[{"at_s": n / 2, "p99_ms": {"P1": 5.0 + n}} for n in range(24)],
        samples=[{"at_s": float(n), "people": 200 - n, "workers": None if n == 3 else 2} for n in range(12)],
        moments=[
            {"at_s": 4.0, "sort": "injection", "said": "killed"},
            {"at_s": 5.0, "sort": "restoration", "said": "back"},
        ],
        alarms=[{"rule": "worker-missing", "required": True, "at_s": None, "said": ""}],
        phases={"P1": {"before": LATENCY, "during": LATENCY, "after": LATENCY}},
    )


def test_charts_show_the_injection_and_alerts_that_had_to_fire() -> None:
    page = html(eventful(), None)
    assert page.count("<svg") == 3 and page.count('class="harm"') == 3
    assert "worker-missing" in page and "did not" in page and "<td>during</td>" in page


def test_a_day_that_was_played_faster_is_told_in_its_own_times() -> None:
    noon_s = datetime(2027, 6, 12, 16, 0, tzinfo=UTC).timestamp()
    page = html(
        run(
            day={"opens_s": noon_s, "speed": 120.0, "zone": "America/New_York"},
            curve=[{"at_s": n * 10.0, "p99_ms": {"P1": 5.0}} for n in range(36)],
            moments=[{"at_s": 75.0, "sort": "injection", "said": "a worker was killed"}],
            alarms=[{"rule": "worker-missing", "required": True, "at_s": 90.0, "said": ""}],
        ),
        None,
    )
    assert '<span class="number">14:30</span>' in page and "at 15:00" in page, "noon, and 75 or 90 times two minutes"
    assert all(f">{hour}:00<" in page for hour in (15, 18, 21))


def test_runs_from_before_all_drills_were_kept_alike_are_shown_too() -> None:
    old = DrillRun(name="load", started_at=NOW, ended_at=NOW, passed=True, options={}, result=play())
    assert "<strong>Passed.</strong>" in html(old, None)


def test_played_otherwise_is_said() -> None:
    other = run()
    other.options = other.options | {"connections": 400}
    assert "compare with care" in html(run(), other)


def test_words_and_figures() -> None:
    assert [words(n) for n in ("replaced_s", "p99_ms", "rss_most_bytes", "cut_off")] == [
        "replaced, s", "p99, ms", "rss most, MB", "cut off",
    ]  # fmt: skip
    assert [value_of("a_bytes", 5e7), value_of("a", None), value_of("a", 0.8191), value_of("a", 1234), value_of("a", "w1")] == [
        "50.0", "not measured", "0.819", "1,234", "w1",
    ]  # fmt: skip
    assert harms_of([{"sort": "injection", "at_s": 1.0}]) == [(1.0, math.inf)]


@pytest.mark.django_db(databases=["default", "history"])
def test_the_admin_shows_it_to_those_who_may_look(client: Client) -> None:
    kept = run()
    kept.save()
    url = f"/admin/monitoring/drillrun/{kept.pk}/report/"
    assert client.get(url).status_code == 302
    client.force_login(User.objects.create_superuser("ada"))
    shown = client.get(url)
    assert shown.status_code == 200 and shown["Content-Security-Policy"] == CSP
    assert f'href="{url}"' in client.get("/admin/monitoring/drillrun/").content.decode()
    assert client.get("/admin/monitoring/auditentry/").status_code == 200
    assert client.get("/admin/monitoring/drillrun/99/report/").status_code == 404
