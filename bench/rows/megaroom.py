"""One room of 5,000 and one of 100, a message in both at the same moment."""

from __future__ import annotations

from bench.generator import Crowd
from bench.rows.base import Figures, Row, Run

MEMBERS, OTHERS, TIMES, EVERY_MS = 5_000, 100, 20, 500.0


def measure(run: Run) -> Figures:
    """The median over the messages of when the last member had it."""
    plan = {"bench-0": MEMBERS, "bench-1": OTHERS}
    with run.start(run.folder, run.core, list(plan)) as target, Crowd(target, plan, run.load_core) as crowd:
        crowd.open()
        crowd.load(2, seconds=2.0, warmup_s=1.0)
        counts = crowd.pair(0, 1, 5 if run.quick else TIMES, EVERY_MS)
    return {
        "p50_ms": counts["p50_ms"],
        "last_ms": counts["last_ms"],
        "other_max_ms": counts["other_max_ms"],
        "other_p99_ms": counts["other_p99_ms"],
        "lost": counts["lost"],
        "busy": counts["busy"],
    }


ROW = Row(
    "megaroom",
    f"one room of {MEMBERS:,}, one message; at the same moment one in another room of {OTHERS}",
    {
        "p50_ms": "p50 ms",
        "last_ms": "last member ms",
        "other_p99_ms": "other room p99 ms",
        "other_max_ms": "other room, worst ms",
        "lost": "lost",
        "busy": "generator busy",
    },
    measure,
    ("loop", "nchan", "ws", "socketio"),
    best="last_ms",
    more=False,
)
