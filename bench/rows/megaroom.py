"""One room of 5,000 and one message: when the last member has it, and whether another room waits for it."""

from __future__ import annotations

from bench.bench import Bench, medians, worst
from bench.generator import Counts
from bench.peers import SLOW

ROOMS = {"bench-0": 5_000, "bench-1": 20}
TIMES, EVERY_MS = 30, 400.0
SLOW_TIMES, SLOW_EVERY_MS = 2, 15_000.0
"""A message takes stock Channels seven seconds here; they must not queue up."""


def run(bench: Bench) -> None:
    """The row."""

    def measure(name: str) -> Counts:
        slow = name in SLOW
        with bench.serving(name, ROOMS, lanes=1) as (_, crowd):
            crowd.open()
            crowd.hold(2.0)
            return crowd.pair(0, 1, SLOW_TIMES if slow else TIMES, SLOW_EVERY_MS if slow else EVERY_MS)

    found = bench.each(measure)
    bench.line("p50 ms of its members", medians(found, "p50_ms"), "15")
    bench.line("the last member, ms (median of the messages)", medians(found, "last_ms"), "40")
    bench.line("another room's message of the same moment, p50 ms", medians(found, "other_p50_ms"))
    bench.line("... the latest, ms", medians(found, "other_max_ms"), "10")
    bench.line("lost, twice, out of order", worst(found, "lost", "twice", "out_of_order"), "0", digits=0)
