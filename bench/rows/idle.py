"""10,000 connections in 100 rooms, 5,000 deliveries a second: what an ordinary hour feels like."""

from __future__ import annotations

from bench.generator import Crowd
from bench.rows.base import Figures, Row, Run, faults, rooms

ROOMS, MEMBERS, RATE = 100, 100, 50.0


def measure(run: Run) -> Figures:
    """One load, heartbeats included."""
    plan = rooms(ROOMS, MEMBERS)
    with run.start(run.folder, run.core, list(plan)) as target, Crowd(target, plan, run.load_core) as crowd:
        crowd.open()
        counts = crowd.load(RATE, seconds=5.0 if run.quick else 20.0)
    return {name: counts[name] for name in ("p50_ms", "p99_ms", "p999_ms", "cpu_us", "busy")} | {"faults": faults(counts)}


ROW = Row(
    "idle",
    f"{ROOMS * MEMBERS:,} connections, {ROOMS} rooms, {int(RATE * MEMBERS):,} deliveries/s, one core",
    {
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "p999_ms": "p99.9 ms",
        "cpu_us": "CPU us a delivery",
        "faults": "lost, twice, disordered",
        "busy": "generator busy",
    },
    measure,
    ("loop", "nchan", "ws", "socketio", "channels-core", "channels-pubsub"),
    best="cpu_us",
    more=False,
)
