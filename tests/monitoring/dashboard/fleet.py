"""Workers as they report, for the tests of the dashboard."""

from __future__ import annotations

from typing import Any

from realtime.histogram import Histogram
from realtime.report import WeddingReport, WorkerReport

NOON = 1_812_801_600.0


def timed(*pairs: tuple[float, int]) -> dict[int, int]:
    """The buckets of (seconds, how many)."""
    histogram = Histogram()
    for seconds, count in pairs:
        histogram.record(seconds, count)
    return histogram.counts


def wedding(guests: int = 10, deliveries: int = 0, latency: dict[int, int] | None = None, faults: int = 0) -> WeddingReport:
    return WeddingReport({"guest": guests}, 0, deliveries, latency or {}, 0, faults)


def worker(slot: str = "w1", at_s: float = NOON, *, tag: str = "a", **more: Any) -> WorkerReport:
    """`tag` tells two that fill the same slot one after the other."""
    weddings = more.pop("weddings", {})
    connections = {"guest": sum(w.connections["guest"] for w in weddings.values())} if weddings else {}
    values = {"started_s": NOON - 600, "state": "ready", "connections": connections} | more
    return WorkerReport(f"here.{slot}.{tag}", slot, "here", 7, at_s=at_s, weddings=weddings, **values)
