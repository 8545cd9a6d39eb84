"""50 rooms of 100 members, 200 bytes: the highest rate with p99 under 100 ms, and 100,000 deliveries a second."""

from __future__ import annotations

from bench.generator import Crowd
from bench.rows.base import Figures, Row, Run, faults, rooms

ROOMS, MEMBERS = 50, 100
P99_MAX_MS = 100.0
STEADY = 1_000.0
"""Publications a second: 100,000 deliveries."""
STEPS = (
    10,
    20,
    40,
    100,
    250,
    500,
    1_000,
    1_500,
    2_000,
    3_000,
    4_000,
    5_000,
    6_000,
    7_000,
    8_000,
    9_000,
    10_000,
    11_000,
    12_000,
)
"""Rates that are tried, from the bottom; two in a row that are too much end the search."""
FIRST = {"channels-core": 10, "channels-pubsub": 10}
OTHERS_FIRST = 250


def measure(run: Run) -> Figures:
    """Walk up the rates until p99 is over the bound or something is lost."""
    seconds = 2.0 if run.quick else 4.0
    plan = rooms(ROOMS, MEMBERS)
    figures: Figures = {}
    with run.start(run.folder, run.core, list(plan)) as target, Crowd(target, plan, run.load_core) as crowd:
        crowd.open()
        if run.name not in FIRST:
            steady = crowd.load(STEADY, seconds=seconds)
            figures |= {"steady_p99_ms": steady["p99_ms"], "steady_faults": faults(steady), "steady_busy": steady["busy"]}
        best, missed = None, 0
        for rate in STEPS:
            if rate < FIRST.get(run.name, OTHERS_FIRST):
                continue
            counts = crowd.load(rate, seconds=seconds, warmup_s=1.0 if run.quick else 2.0)
            good = counts["p99_ms"] < P99_MAX_MS and not counts["lost"]
            best, missed = (counts, 0) if good else (best, missed + 1)
            if missed == 2 or counts["p99_ms"] > 5 * P99_MAX_MS:
                break
    if best is None:
        return figures | {"deliveries_per_s": None, "per_cpu_s": None}
    return figures | {
        "deliveries_per_s": best["deliveries_per_s"],
        "per_cpu_s": best["per_cpu_s"],
        "p50_ms": best["p50_ms"],
        "p99_ms": best["p99_ms"],
        "faults": faults(best),
        "busy": best["busy"],
    }


ROW = Row(
    "fanout",
    f"{ROOMS} rooms of {MEMBERS}, 200 bytes, one core: the highest rate with p99 under {P99_MAX_MS:g} ms",
    {
        "deliveries_per_s": "deliveries/s",
        "per_cpu_s": "per CPU-second",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "faults": "lost, twice, disordered",
        "busy": "generator busy",
        "steady_p99_ms": "p99 ms at 100,000/s",
    },
    measure,
    ("loop", "nchan", "ws", "socketio", "channels-core", "channels-pubsub"),
    best="per_cpu_s",
)
