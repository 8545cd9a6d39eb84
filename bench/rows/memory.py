"""What an idle connection holds of its worker's memory."""

from __future__ import annotations

import psutil

from bench.bench import Bench, medians, rooms_of
from bench.generator import Counts
from bench.target import Target

ROOMS, MEMBERS = 100, 100
SETTLE_S = 10.0


def resident(target: Target) -> int:
    """Bytes of all workers."""
    return sum(psutil.Process(pid).memory_info().rss for pid in target.workers)


def run(bench: Bench) -> None:
    """The row. A first crowd comes and goes before, so that what is loaded and allotted once is not counted."""

    def measure(name: str) -> Counts:
        rooms = rooms_of(ROOMS, int(bench.pick(30, MEMBERS)))
        with bench.serving(name, rooms) as (target, crowd):
            with bench.crowd(target, rooms_of(1, 50)) as first:
                first.open()
                first.drop()
                first.hold(1.0)
            before = resident(target)
            crowd.open()
            counts = crowd.hold(bench.pick(2.0, SETTLE_S))
            return counts | {"kb_per_connection": (resident(target) - before) / 1_000 / counts["live"]}

    found = bench.each(measure)
    bench.line("RSS per idle connection, KB", medians(found, "kb_per_connection"), "17")
