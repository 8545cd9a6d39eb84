"""`manage.py drain`: who is told, who is refused, and when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from msgspec.structs import replace

from monitoring.management.commands import drain as module
from monitoring.models import AuditEntry
from realtime.adapters.registry import MemoryRegistry
from realtime.clock import SystemClock
from realtime.fleet import remote
from realtime.report import Drain, WorkerReport

pytestmark = pytest.mark.django_db(databases=["default", "history"], transaction=True)
NOW_S = SystemClock().now().timestamp()


def report(worker: str, slot: str, **more: object) -> WorkerReport:
    fields = {"state": "ready", "started_s": NOW_S} | more
    return WorkerReport(worker, slot, "h", 1, NOW_S, connections={"guest": 3}, **fields)  # type: ignore[arg-type]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., MemoryRegistry]:
    """A registry with these reports, which the command finds."""

    def with_reports(*reports: WorkerReport) -> MemoryRegistry:
        registry = MemoryRegistry(SystemClock())
        for one in reports:
            asyncio.run(registry.report(one))
        monkeypatch.setattr(module, "_redis", lambda: "")
        monkeypatch.setattr(module, "registry_at", lambda url: registry)
        return registry

    return with_reports


def orders(registry: MemoryRegistry, worker: str) -> list[object]:
    return list(asyncio.run(registry.report(report(worker, "w9"))))


def drain(*args: str) -> str:
    out = StringIO()
    call_command("drain", *args, stdout=out)
    return out.getvalue()


def test_the_newest_worker_in_the_slot_is_told_and_it_is_kept_who_asked(told: Callable[..., MemoryRegistry]) -> None:
    registry = told(report("a", "w1"), report("b", "w2", started_s=NOW_S - 9), report("c", "w2"))
    assert "w2 is told to send its 3 people elsewhere" in drain("w2", "--by", "Maria Lang", "--reason", "a new kernel")
    assert orders(registry, "c") == [Drain("a new kernel", 60.0)] and orders(registry, "b") == []
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.what) == ("Maria Lang", "drain")


def test_two_are_not_drained_by_what_the_reports_said_before(told: Callable[..., MemoryRegistry]) -> None:
    registry = told(report("a", "w1"), report("b", "w2"))
    drain("w1")
    with pytest.raises(CommandError, match="another worker was just told to drain; again in 3 s") as refused:
        drain("w2")
    assert refused.value.returncode == 2 and orders(registry, "b") == []


@pytest.mark.parametrize(("slot", "why"), [("w7", "those that report: w1"), ("w1", "only worker that takes people")])
def test_nobody_is_told_what_cannot_be_done(told: Callable[..., MemoryRegistry], slot: str, why: str) -> None:
    registry = told(report("a", "w1"))
    with pytest.raises(CommandError, match=why):
        drain(slot)
    assert orders(registry, "a") == []


@pytest.mark.parametrize(
    ("name", "told_to", "why"),
    [
        pytest.param("w2.3", "b", "", id="the one that leaves"),
        pytest.param("w2.4", "c", "", id="the one in its place"),
        pytest.param("w2.1", "", "w2.1 is gone; w2.4 is in its place", id="gone"),
        pytest.param("w2.99", "", "w2.99 is gone; w2.4 is in its place", id="never there"),
        pytest.param("w7.1", "", "no worker w7.1; those that report: w1, w2", id="no such slot"),
        pytest.param("w3.1", "", "no worker w3.1; those that report: w1, w2", id="not heard of yet"),
    ],
)
def test_an_id_is_that_worker_and_no_other(
    told: Callable[..., MemoryRegistry], monkeypatch: pytest.MonkeyPatch, name: str, told_to: str, why: str
) -> None:
    registry = told(report("a", "w1"), report("b", "w2", started_s=NOW_S - 9), report("c", "w2"))
    shown = [("w1.1", "w1", "a"), ("w2.3", "w2", "b"), ("w2.4", "w2", "c"), ("w3.1", "w3", None)]
    rows = [{"id": id, "slot": slot, "worker": worker} for id, slot, worker in shown]
    monkeypatch.setattr(remote, "ask", lambda *_: iter([{"workers": rows}]))
    if why:
        with pytest.raises(CommandError, match=why) as refused:
            drain(name)
        assert refused.value.returncode == 2
    else:
        drain(name)
    assert [worker for worker in "abc" if orders(registry, worker)] == list(told_to)


def test_an_id_says_nothing_where_no_supervisor_counts(
    told: Callable[..., MemoryRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = told(report("a", "w1"), report("b", "wedsync-7.d"))
    monkeypatch.setattr(remote, "ask", lambda *_: iter([]))
    with pytest.raises(CommandError, match="those that report: w1, wedsync-7.d"):
        drain("w1.1")
    drain("wedsync-7.d")
    assert orders(registry, "a") == [] and len(orders(registry, "b")) == 1


@pytest.mark.parametrize("deadline", ["0", "-1", "nan", "inf", "1e12"])
def test_a_deadline_that_cannot_be_is_refused(told: Callable[..., MemoryRegistry], deadline: str) -> None:
    registry = told(report("a", "w1"), report("b", "w2"))
    with pytest.raises(CommandError, match="--deadline") as error:
        drain("w1", f"--deadline={deadline}")
    assert error.value.returncode == 2 and orders(registry, "a") == []


def test_the_end_of_a_pod_is_no_decision_and_the_last_one_goes_too(
    told: Callable[..., MemoryRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = told(report("a", "w1"))
    monkeypatch.setenv("WEDSYNC_SLOT", "w1")
    drain("--self")
    assert len(orders(registry, "a")) == 1 and not AuditEntry.objects.exists()


def test_a_slot_may_stand_in_the_file_as_well(
    told: Callable[..., MemoryRegistry], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    registry = told(report("a", "w1"))
    monkeypatch.delenv("WEDSYNC_SLOT", raising=False)
    settings.VAR_DIR = tmp_path
    (tmp_path / "env").write_text("WEDSYNC_SLOT=w1\n", encoding="utf-8")
    drain("--self")
    assert len(orders(registry, "a")) == 1


def test_a_shell_is_in_no_slot(
    told: Callable[..., MemoryRegistry], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    registry = told(report("a", "w1"), report("b", "w2"))
    monkeypatch.delenv("WEDSYNC_SLOT", raising=False)
    settings.VAR_DIR = tmp_path
    with pytest.raises(CommandError, match="WEDSYNC_SLOT is not set") as refused:
        drain("--self")
    assert refused.value.returncode == 2 and orders(registry, "a") == []


def test_it_waits_until_the_last_word_was_that_nobody_is_left(
    told: Callable[..., MemoryRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.0)
    monkeypatch.setattr(module, "MORE_S", 0.1)
    leaving = report("b", "w2", state="draining")
    registry = told(report("a", "w1"), replace(leaving, connections={}))
    assert "w2 has ended" in drain("w2", "--wait")
    asyncio.run(registry.report(leaving))
    with pytest.raises(CommandError, match="has not ended"):
        drain("w2", "--wait", "--deadline", "0.1")
