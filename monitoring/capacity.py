"""What one worker carries: as configured, else as `drill calibrate` measured it, else the careful guess of ops.md 2.4."""

from __future__ import annotations

from typing import Any

from monitoring.models.drills import DrillRun
from realtime.config import RealtimeConfig
from realtime.policy.scaling import Limits

GUESSED = RealtimeConfig()


def last_calibration() -> DrillRun | None:
    """The newest that passed."""
    return DrillRun.objects.filter(name="calibrate", passed=True).order_by("-ended_at").first()


def calibrated(config: RealtimeConfig, facts: dict[str, Any]) -> Limits:
    """`Limits.of(config)` with what was measured in the place of what was only guessed. PURE."""
    limits = Limits.of(config)
    return Limits(
        connections=_one(config.capacity_connections, GUESSED.capacity_connections, facts.get("connections")),
        deliveries_per_s=_one(
            config.capacity_deliveries_per_s, GUESSED.capacity_deliveries_per_s, facts.get("deliveries_per_s")
        ),
        joins_per_s=_one(config.capacity_joins_per_s, GUESSED.capacity_joins_per_s, facts.get("joins_per_s")),
        rss_bytes=limits.rss_bytes,
        least=limits.least,
        most=limits.most,
    )


def limits(config: RealtimeConfig) -> Limits:
    """What the scaler goes by now. Reads the history database."""
    run = last_calibration()
    return calibrated(config, run.result.get("facts", {}) if run is not None else {})


def _one(configured: float, guessed: float, measured: float | None) -> float:
    return configured if configured != guessed or not measured else measured
