"""A real fleet and our alerts over its real reports: killed, hung, blocked; told in time, over when it is over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async

from monitoring.alerting import Alerting
from monitoring.models import Alert, Incident
from realtime.adapters.registry import RedisRegistry
from realtime.clock import SystemClock
from realtime.report import WorkerReport
from tests.processes import FleetServer, Processes

pytestmark = [
    pytest.mark.acceptance,
    # serialized_rollback: the rules of the migration are there for the next test too.
    pytest.mark.django_db(databases=["default", "history"], transaction=True, serialized_rollback=True),
]


class Watcher:
    """Reads and evaluates four times a second, as the control loop does once, so that the times below are of the alerts."""

    def __init__(self, url: str, processes: Processes) -> None:
        self.registry = RedisRegistry(url, timeout_s=2)
        self.alerting = Alerting(processes.folder)
        self.clock = SystemClock()
        self.reports: list[WorkerReport] = []

    async def until(self, what: str, is_so: Callable[[], bool], timeout_s: float) -> float:
        """Evaluate until it is so; gives how long that took, seconds."""
        step, ask = sync_to_async(self.alerting.step), sync_to_async(is_so)
        start_s = self.clock.monotonic()
        while not await ask():
            took_s = self.clock.monotonic() - start_s
            assert took_s < timeout_s, f"after {timeout_s} s it is still not so that {what}"
            self.reports = await self.registry.reports()
            await step(self.reports, self.clock.now())
            await self.clock.sleep(0.25)
        return self.clock.monotonic() - start_s


def firing() -> set[str]:
    return {str(row) for row in Alert.objects.filter(resolved_at=None)}


@pytest.fixture
def fleet(processes: Processes, redis_url: str) -> FleetServer:
    processes.env["REDIS_URL"] = redis_url
    processes.demo()
    return processes.fleet()


async def test_a_worker_that_hangs_is_told_within_three_seconds_and_one_that_is_replaced_is_over(
    processes: Processes, fleet: FleetServer, redis_url: str
) -> None:
    watch = Watcher(redis_url, processes)
    await watch.until("both are seen", lambda: len(watch.reports) == 2, 10)
    first = {report.slot: report.pid for report in watch.reports}
    os.kill(first["w1"], signal.SIGSTOP)
    took_s = await watch.until("it is told", lambda: "worker-missing worker w1" in firing(), 10)
    assert took_s <= 3.5  # 2 s, and up to a second since its last report
    assert (await Incident.objects.aget()).title == "A worker does not report any more (worker w1)"
    os.kill(first["w1"], signal.SIGKILL)
    another = lambda: any(r.slot == "w1" and r.pid != first["w1"] for r in watch.reports)  # noqa: E731
    await watch.until("another has its place", another, 15)
    await watch.until("it is over", lambda: "worker-missing worker w1" not in firing(), 30)
    assert not any("worker w2" in alert for alert in await sync_to_async(firing)())
    story = [text async for text in (await Incident.objects.aget()).events.values_list("text", flat=True)]
    assert any(text.startswith("w1 started") for text in story)
    await watch.registry.stop()
