"""`drill page-me`: does a page reach a person? It goes the way of every page; passed when somebody has acknowledged it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitoring import drill_runs, paging
from monitoring.models.alerts import Receiver
from monitoring.models.drills import DrillRun
from monitoring.readiness import PageTest
from realtime.clock import Clock

WAIT_S = 300.0
"""The recovery-time goal of ops.md 5.2: five minutes."""
POLL_S = 1.0
PATIENCE_S = 20.0
"""The outbox is emptied every second; when nothing has left by then, nobody empties it."""


class NoReceivers(Exception):
    """Nobody is to be paged: add a receiver in the admin, under Receivers."""


def page(
    by: str, wait_s: float, clock: Clock, sleep: Callable[[float], None], progress: Callable[[str, float], None]
) -> DrillRun:
    """Page everybody who takes pages and wait for a person; the run is kept. With `wait_s` 0 nothing is waited for or kept.

    Raises NoReceivers, and DatabaseError.
    """
    if not any(receiver.wants({"severity": "page"}) for receiver in Receiver.objects.filter(enabled=True)):
        raise NoReceivers(NoReceivers.__doc__)
    started_at, start_s = clock.now(), clock.monotonic()
    paging.start(by, started_at)
    test = paging.last()
    while test is not None and test.acknowledged_at is None and (waited_s := clock.monotonic() - start_s) < wait_s:
        progress(_so_far(test), waited_s / wait_s)
        sleep(POLL_S)
        test = paging.last()
    assert test is not None
    reason = "" if wait_s == 0 else verdict(test, clock.monotonic() - start_s)
    return drill_runs.record(
        "page-me",
        passed=not reason,
        verdict=reason,
        options={"by": by, "wait_s": wait_s},
        result=told(test),
        started_at=started_at,
        ended_at=clock.now(),
        keep=wait_s > 0,
    )


def verdict(test: PageTest, waited_s: float) -> str:
    """Why the drill failed, "" when it passed."""
    if test.missed and not test.reached and waited_s > PATIENCE_S:
        return f"the page left for nobody ({', '.join(test.missed)}): is a control loop running, and do the receivers answer?"
    if test.missed:
        return f"the page did not reach {', '.join(test.missed)}"
    if test.acknowledged_at is None:
        return f"nobody acknowledged the page within {waited_s:.0f} s; it reached {', '.join(test.reached)}"
    return ""


def told(test: PageTest) -> dict[str, Any]:
    """What `--json` prints."""
    took_s = None if test.acknowledged_at is None else (test.acknowledged_at - test.sent_at).total_seconds()
    return {
        "drill": "page-me",
        "reached": list(test.reached),
        "missed": list(test.missed),
        "acknowledged_by": test.acknowledged_by,
        "acknowledged_after_s": None if took_s is None else round(took_s, 1),
    }


def _so_far(test: PageTest) -> str:
    return f"{len(test.reached)} of {len(test.reached) + len(test.missed)} receivers reached, nobody has acknowledged yet"
