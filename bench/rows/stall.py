"""4,000 idle connections that were opened together, and one that echoes: how long the loop ever keeps it waiting."""

from __future__ import annotations

from bench.bench import Bench, medians, rooms_of, worst
from bench.generator import Counts

ROOMS, MEMBERS = 40, 100
ECHOES_PER_S = 500
HEARTBEAT_S = 25.0
INTERVALS = 3
ONLY = ("wedsync", "loop", "ws", "channels-pubsub")


def run(bench: Bench) -> None:
    """The row. The C loop has no heartbeats: its figure is what the machine itself adds."""
    rooms = rooms_of(ROOMS, MEMBERS) | {"bench-probe": 1}

    def measure(name: str) -> Counts:
        seconds = HEARTBEAT_S * bench.pick(1, INTERVALS)
        with bench.serving(name, rooms, lanes=1) as (_, crowd):
            crowd.open(in_flight=ROOMS * MEMBERS)
            return crowd.load(ECHOES_PER_S, seconds=seconds, warmup_s=2.0, first=ROOMS, count=1)

    found = bench.each(measure, only=ONLY, runs=1)
    bench.line("the longest wait of an echo, ms", medians(found, "max_ms"), "10")
    bench.line("... p99.9 ms", medians(found, "p999_ms"), digits=2)
    bench.line("lost, twice, out of order", worst(found, "lost", "twice", "out_of_order"), "0", digits=0)
