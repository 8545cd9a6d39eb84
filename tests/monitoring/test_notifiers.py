"""What receivers get."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring import notifiers
from monitoring.notifiers import post, wording
from tests.fakes import ManualClock
from tests.monitoring.hooks import hook


def alert(name: str, severity: str, status: str) -> dict[str, Any]:
    notes = {"summary": name, "description": "it is so", "what_to_do": "look"}
    return {"status": status, "labels": {"severity": severity}, "annotations": notes, "startsAt": "2027-07-03T12:00:00+00:00"}


LOST, MISSING, LAG = ("lost", "ticket"), ("missing", "page"), ("lag", "page")


@pytest.mark.parametrize(
    ("content", "subject"),
    [
        ([(*LOST, "firing")], "[TICKET] lost"),
        ([(*LOST, "firing"), (*MISSING, "firing"), (*LAG, "firing")], "[PAGE] missing and 2 more"),
        ([(*LAG, "resolved"), (*LOST, "firing")], "[TICKET] lost and 1 more"),
        ([(*LOST, "resolved"), (*LAG, "resolved")], "[OVER] lag and 1 more"),
    ],
    ids=["one", "the most urgent first", "what is over is not news", "all over"],
)
def test_the_subject_is_about_the_most_urgent_that_fires(content: list[tuple[str, str, str]], subject: str) -> None:
    assert wording([alert(*each) for each in content])[0] == subject


def test_an_answer_that_drips_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    monkeypatch.setattr(notifiers, "clock", clock)
    with hook() as server:
        server.drip = lambda: clock.advance(1)
        outcome = post(server.url, b"{}", {})
    assert not outcome.ok and not outcome.final and "no whole answer within 5 s" in outcome.text


@pytest.mark.parametrize("url", ["http://a..b/", f"http://{'a' * 100}.example/", "http://ada:x@127.0.0.1/"])
def test_an_address_that_no_program_can_use_is_an_answer_and_no_fault_of_ours(url: str) -> None:
    outcome = post(url, b"{}", {})
    assert not outcome.ok and outcome.text


@pytest.mark.parametrize(
    ("status", "ok", "final"), [(200, True, False), (204, True, False), (302, False, False), (404, False, True)]
)
def test_what_an_answer_means(status: int, ok: bool, final: bool) -> None:
    with hook() as server:
        server.status = status
        outcome = post(f"{server.url}/a/b?c=d#e", b"{}", {"X-One": "two"})
        path, headers, body = server.got[0]
    assert (outcome.ok, outcome.final, outcome.text) == (ok, final, str(status))
    assert (path, body, headers["X-One"], headers["Content-Type"]) == ("/a/b?c=d", b"{}", "two", "application/json")
