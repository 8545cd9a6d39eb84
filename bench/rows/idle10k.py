"""10,000 connections in 100 rooms that get 5,000 deliveries a second together: latency, and the CPU that each costs."""

from __future__ import annotations

from bench.bench import Bench, medians, ratio, rooms_of, worst
from bench.generator import Counts

ROOMS, MEMBERS = 100, 100
PER_S = 50
SECONDS = 26.0
"""A heartbeat interval of every server here (20 to 25 s), so that heartbeats are in the CPU figure."""


def run(bench: Bench) -> None:
    """The row."""

    def measure(name: str) -> Counts:
        with bench.serving(name, rooms_of(ROOMS, MEMBERS)) as (_, crowd):
            crowd.open()
            return crowd.load(PER_S, seconds=bench.pick(8.0, SECONDS), warmup_s=5.0, drain_s=15.0)

    found = bench.each(measure)
    for name, what, goal in (("p50_ms", "p50 ms", "0.8"), ("p99_ms", "p99 ms", "3"), ("p999_ms", "p99.9 ms", "8")):
        bench.line(what, medians(found, name), goal, digits=2)
    bench.line("lost, twice, out of order", worst(found, "lost", "twice", "out_of_order"), "0", digits=0)
    cost = medians(found, "cpu_us")
    bench.line("CPU per delivery, us", cost)
    bench.line("... times the C loop", ratio(cost, "loop"), "2.0", digits=2)
