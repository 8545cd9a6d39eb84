"""`manage.py fleet` where no supervisor runs: the workers of many machines, by what they report."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from realtime.adapters.registry import MemoryRegistry
from realtime.clock import SystemClock
from realtime.fleet import remote
from realtime.management.commands import fleet as module
from realtime.report import WeddingReport, WorkerReport


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, settings: Any) -> MemoryRegistry:
    """What REDIS_URL leads to; there is no supervisor."""

    def nobody(*_: object) -> object:
        raise remote.NoFleet("no fleet of this installation runs")

    registry = MemoryRegistry(SystemClock())
    settings.REDIS_URL = "redis://many-machines"
    monkeypatch.setattr(remote, "ask", nobody)
    monkeypatch.setattr(module, "registry_at", lambda url: registry)
    return registry


def test_those_that_report_are_shown(registry: MemoryRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    now_s = SystemClock().now().timestamp()
    weddings = {"rose": WeddingReport({"guest": 3})}
    report = WorkerReport(
        "a", "w2", "h", 7, now_s, now_s - 60, "ready", address="10.0.0.1:8000", connections={"guest": 3}, weddings=weddings
    )
    asyncio.run(registry.report(report))
    out = StringIO()
    call_command("fleet", "--json", stdout=out)
    (row,) = json.loads(out.getvalue())["workers"]
    assert {name: row[name] for name in ("id", "pid", "state", "connections", "weddings", "address")} == {
        "id": "w2", "pid": 7, "state": "ready", "connections": 3, "weddings": 1, "address": "10.0.0.1:8000",
    }  # fmt: skip
    call_command("fleet")
    assert "w2" in capsys.readouterr().out


def test_nobody_is_said_to_be_nobody(registry: MemoryRegistry) -> None:
    with pytest.raises(CommandError, match="no fleet of this installation runs, and nobody reports"):
        call_command("fleet")
