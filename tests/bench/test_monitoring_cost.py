"""The measurement of what monitoring costs: its reckoning, and a worker that is really switched."""

from __future__ import annotations

import pytest

from bench import monitoring


def test_what_is_done_with_reports_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "TIMES", 1)
    monkeypatch.setattr(monitoring, "ROOMS", 3)
    found = monitoring.beside()
    assert len(found) == 4 and all(figure > 0 for figure in found.values())


def test_a_drift_of_the_machine_is_no_difference() -> None:
    rising = [1.0 + 0.1 * n for n in range(8)]
    assert monitoring._compared(rising)["difference"] == pytest.approx(0.0)
    switched = [0.5 + (0.02 if n % 2 == 0 else 0.0) + 0.1 * n for n in range(8)]
    assert monitoring._compared(switched)["difference"] == pytest.approx(0.02)
    assert monitoring._compared(switched)["its standard error"] == pytest.approx(0.0)
