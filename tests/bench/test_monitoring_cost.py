"""The measurement of what monitoring costs runs, and counts what a worker does."""

from __future__ import annotations

import pytest

from bench import monitoring


def test_every_part_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "SECONDS", 1)
    monkeypatch.setattr(monitoring, "ROOMS", 3)
    found = monitoring.measured()
    assert set(found) & set(monitoring.OF_THE_WORKER) == {"counting deliveries", "making the report", monitoring.ENCODING}
    assert all(figure > 0 for figure in found.values())
