"""What receivers get."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.notifiers import wording


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
