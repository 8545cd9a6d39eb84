"""What one worker carries: configured before measured before guessed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from monitoring.capacity import calibrated, limits
from monitoring.models.drills import DrillRun
from realtime.clock import SystemClock
from realtime.config import RealtimeConfig
from realtime.policy.scaling import Limits

GUESSED = RealtimeConfig()
MEASURED = {"connections": 9_000, "deliveries_per_s": 20_000, "joins_per_s": 700}


@pytest.mark.parametrize(
    ("config", "facts", "carried"),
    [
        (GUESSED, {}, (2_000, 4_000, 1_500)),
        (GUESSED, MEASURED, (9_000, 20_000, 700)),
        (GUESSED, MEASURED | {"deliveries_per_s": None}, (9_000, 4_000, 700)),
        (replace(GUESSED, capacity_connections=150), MEASURED, (150, 20_000, 700)),
    ],
    ids=["guessed", "measured", "not all was measured", "configured"],
)
def test_configured_before_measured_before_guessed(
    config: RealtimeConfig, facts: dict[str, Any], carried: tuple[float, float, float]
) -> None:
    found = calibrated(config, facts)
    assert (found.connections, found.deliveries_per_s, found.joins_per_s) == carried
    assert (found.rss_bytes, found.least, found.most) == (Limits.of(config).rss_bytes, 1, 2)


@pytest.mark.django_db(databases=["default", "history"])
def test_the_newest_that_passed_counts() -> None:
    now = SystemClock().now()
    for hours, passed, connections in ((3, True, 100), (2, True, 200), (1, False, 300)):
        ended = now - timedelta(hours=hours)
        facts = {"facts": {"connections": connections}}
        DrillRun.objects.create(name="calibrate", started_at=ended, ended_at=ended, passed=passed, result=facts)
    assert limits(GUESSED).connections == 200
