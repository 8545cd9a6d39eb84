"""The control loop: one tick after the other, and one holder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError

from monitoring.alerting import Alerting
from monitoring.control import LEASE, SCALE_TICKS, STATUS, ControlLoop, decode_status, run
from monitoring.dashboard import screen
from monitoring.dashboard.screen import Screen
from monitoring.dashboard.status import Facts
from monitoring.figures import NOTE, decode_figures
from monitoring.history import History
from monitoring.models.scaling import ScalingEvent
from realtime.adapters.registry import MemoryRegistry
from realtime.errors import RegistryUnavailable
from realtime.publication import Draft
from realtime.report import WorkerReport
from realtime.websocket_scaler import WebSocketScaler
from tests.fakes import ManualClock, queue_of_calls

pytestmark = pytest.mark.django_db(databases=["default", "history"])


class Hub:
    process = "here.1.control"

    def __init__(self) -> None:
        self.told: list[Draft] = []

    def ephemeral(self, draft: Draft) -> None:
        self.told.append(draft)


class Parts:
    """What the loop takes of a process."""

    def __init__(self, settings: Any) -> None:
        self.clock = ManualClock()
        self.registry = MemoryRegistry(self.clock)
        self.hub = Hub()
        self.config = settings.REALTIME


async def at_once(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def worker(parts: Parts, **more: Any) -> WorkerReport:
    at_s = parts.clock.now().timestamp()
    return WorkerReport("here.2.w1", "w1", "here", 2, at_s=at_s, started_s=at_s - 60, state="ready", **more)


@pytest.fixture
def parts(settings: Any) -> Parts:
    return Parts(settings)


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database thread: the tick runs in the test's transaction."""
    monkeypatch.setattr("monitoring.control.in_threads", lambda name, count, patience_s: at_once)


async def ticks(parts: Parts, count: int) -> None:
    for _ in range(count):
        parts.clock.advance(1)
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.mark.usefixtures("nobody_there")
def test_a_tick_decides_records_and_notes(parts: Parts) -> None:
    async def play() -> None:
        await parts.registry.report(worker(parts, connections={"guest": 7}))
        await ControlLoop(parts, in_line, History()).step()  # type: ignore[arg-type]
        noted = await parts.registry.read(STATUS)
        assert noted is not None
        status = decode_status(noted)
        figures = await parts.registry.read(NOTE)
        assert figures is not None and decode_figures(figures).connections == {"guest": 7}
        assert decode_figures(figures).wanted == status.want and decode_figures(figures).desired is None, (
            "advise orders nothing"
        )
        assert status.workers == 1 and status.holder == Hub.process and status.why and status.mode == "advise"

    in_line, finish = queue_of_calls()
    finish(play())
    assert ScalingEvent.objects.get().reason


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("part", [History.take, Alerting.step, WebSocketScaler.reconcile, Screen.step, ControlLoop._figures])
def test_whatever_one_part_makes_of_it_the_others_go_on(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, part: Callable[..., Any]
) -> None:
    def broken(self: object, *args: object) -> None:
        raise ValueError("a report nobody thought of")

    owner, name = part.__qualname__.split(".")
    monkeypatch.setattr(f"{part.__module__}.{owner}.{name}", broken)

    async def play() -> None:
        await parts.registry.report(worker(parts, connections={"guest": 7}))
        loop = ControlLoop(parts, in_line, history := History())  # type: ignore[arg-type]
        for _ in range(2 * SCALE_TICKS + 1):
            parts.clock.advance(1)
            await loop.step()
        noted = await parts.registry.read(STATUS)
        assert noted is not None
        status = decode_status(noted)
        assert (status.want is None) == (name == "reconcile")
        assert bool(parts.hub.told) == (owner != "Screen")
        assert (loop.figures is None) == (name == "_figures")
        assert bool(history.waiting) == (name != "take")

    in_line, finish = queue_of_calls()
    finish(play())


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("away", [False, True])
def test_the_whole_of_the_facts_is_read_every_few_seconds_whether_or_not_it_can_be_noted(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    read, whole = screen.read, list[bool]()

    def reading(now: datetime, before: Facts | None = None) -> Facts:
        whole.append(before is None)
        if len(whole) == 3:
            raise OperationalError("gone for a moment")
        return read(now, before)

    async def nowhere(*_: object) -> None:
        raise RegistryUnavailable("no Redis")

    monkeypatch.setattr(screen, "read", reading)
    if away:
        monkeypatch.setattr(parts.registry, "note", nowhere)

    async def play() -> None:
        loop = ControlLoop(parts, in_line, History())  # type: ignore[arg-type]
        for _ in range(11):
            parts.clock.advance(1)
            await loop.step()

    in_line, finish = queue_of_calls()
    finish(play())
    assert [number for number, each in enumerate(whole) if each] == [0, 3, 5, 10], "at first, after a failure, each fifth time"


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("set_s", [0.0, -3_600.0, 3_600.0])
def test_a_clock_that_is_set_keeps_nobody_from_hearing_of_a_missing_worker(parts: Parts, set_s: float) -> None:
    async def play() -> None:
        loop = ControlLoop(parts, in_line, History())  # type: ignore[arg-type]
        for second in range(20):
            parts.clock.advance(1)
            parts.clock.set_s = set_s if second > 10 else 0.0
            if second <= 10:
                await parts.registry.report(worker(parts))
            await loop.step()
            noted = await parts.registry.read(STATUS)
            assert noted is not None
            assert ("worker-missing" in decode_status(noted).alerts) == (second >= 13), second

    in_line, finish = queue_of_calls()
    finish(play())


@pytest.mark.usefixtures("nobody_there")
def test_without_a_registry_it_goes_on_and_says_that_nothing_is_known(parts: Parts) -> None:
    class Away(MemoryRegistry):
        async def reports(self) -> list[WorkerReport]:
            raise RegistryUnavailable

    parts.registry = Away(parts.clock)

    async def play() -> None:
        await ControlLoop(parts, in_line, History()).step()  # type: ignore[arg-type]
        noted = await parts.registry.read(STATUS)
        assert noted is not None and decode_status(noted).workers is None and decode_status(noted).want is None

    in_line, finish = queue_of_calls()
    finish(play())


def test_only_the_holder_of_the_lease_ticks(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    ticked: list[str] = []

    class Ticking:
        figures = None

        def __init__(self, parts: Parts, in_thread: Any, history: History) -> None:
            pass

        async def step(self) -> None:
            ticked.append("tick")

        async def leave(self, storing: Any) -> None:
            ticked.append("left")

    async def never(*args: Any) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("monitoring.control.ControlLoop", Ticking)
    monkeypatch.setattr("monitoring.control.delivering", never)
    monkeypatch.setattr("monitoring.control.writing", never)

    async def play() -> None:
        assert await parts.registry.hold(LEASE, "somebody else", 5.0)
        task = asyncio.create_task(run(parts))  # type: ignore[arg-type]
        await ticks(parts, 4)
        assert ticked == []
        await ticks(parts, 5)
        assert ticked
        parts.registry = MemoryRegistry(parts.clock)
        assert await parts.registry.hold(LEASE, "somebody else", 5.0)
        await ticks(parts, 2)
        assert ticked[-1] == "left", "what waits is written although the loop goes on elsewhere"
        await ticks(parts, 6)
        assert ticked[-1] == "tick"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert ticked[-1] == "left", "what waits for the history database is written"

    asyncio.run(play())


async def test_what_could_not_be_written_before_the_lease_went_is_counted(parts: Parts) -> None:
    async def hung(function: Any, *args: Any) -> None:
        raise OperationalError("gone")

    history = History()
    loop = ControlLoop(parts, at_once, history)  # type: ignore[arg-type]
    for _ in range(11):
        history.take([], parts.clock.now())
        parts.clock.advance(1)
    await loop.leave(hung)
    assert history.waiting == 0 and history.dropped_total == 1
