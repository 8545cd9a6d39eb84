"""permessage-deflate: bytes and CPU against plain, JSON of 1 KB to rooms of 100."""

from __future__ import annotations

import json
import random

from bench.generator import Crowd
from bench.rows.base import Figures, Row, Run, faults, rooms

ROOMS, MEMBERS, SIZE, RATE = 10, 100, 1_024, 300.0
WORDS = [
    "ceremony",
    "cake",
    "doors",
    "speeches",
    "garden",
    "marquee",
    "florist",
    "photographer",
    "late",
    "minutes",
    "guests",
    "table",
    "dinner",
    "dance",
    "rain",
]


def bodies(count: int = 200) -> list[str]:
    """JSON as weddings say it: run sheet items with names, times and notes, about 800 bytes, no two alike."""
    rng = random.Random(2027)
    found = []
    for n in range(count):
        item = {"id": n, "start": f"2027-06-12T{rng.randrange(24):02}:{rng.randrange(60):02}:00Z", "minutes": rng.randrange(90)}
        item |= {"notes": " ".join(rng.choices(WORDS, k=95)), "who": rng.sample(WORDS, 4), "version": rng.randrange(50)}
        found.append(json.dumps(item).replace('"', "'"))
    return found


def measure(run: Run) -> Figures:
    """The same load twice, to clients that offer compression and to clients that do not."""
    plan, counts = rooms(ROOMS, MEMBERS), {}
    for deflate in (False, True):
        with (
            run.start(run.folder, run.core, list(plan), deflate=deflate) as target,
            Crowd(target, plan, run.load_core, size=SIZE, bodies=bodies(), deflate=deflate) as crowd,
        ):
            crowd.open()
            counts[deflate] = crowd.load(RATE, seconds=3.0 if run.quick else 8.0)
    plain, packed = counts[False], counts[True]
    return {
        "bytes": packed["bytes"] / packed["texts"] / (plain["bytes"] / plain["texts"]),
        "cpu": packed["cpu_us"] / plain["cpu_us"],
        "cpu_us": packed["cpu_us"],
        "p99_ms": packed["p99_ms"],
        "faults": faults(packed),
        "busy": packed["busy"],
    }


ROW = Row(
    "deflate",
    f"permessage-deflate, JSON of 1 KB, {ROOMS} rooms of {MEMBERS}: against plain",
    {
        "bytes": "bytes, of plain",
        "cpu": "CPU, of plain",
        "cpu_us": "CPU us a delivery",
        "p99_ms": "p99 ms",
        "faults": "lost, twice, disordered",
        "busy": "generator busy",
    },
    measure,
    ("nchan", "ws", "socketio"),
    best="bytes",
    more=False,
)
