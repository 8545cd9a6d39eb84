"""What an idle connection holds: the growth of the workers' resident memory by 4,000 of them."""

from __future__ import annotations

import psutil

from bench.generator import Crowd
from bench.rows.base import Figures, Row, Run, rooms

ROOMS, MEMBERS = 40, 100


def measure(run: Run) -> Figures:
    """RSS after minus before, over the connections; the first room warms up what is made once."""
    plan = rooms(ROOMS, MEMBERS)
    with run.start(run.folder, run.core, list(plan)) as target:
        workers = [psutil.Process(pid) for pid in target.workers]
        with Crowd(target, {"bench-0": 50}, run.load_core) as warm:
            warm.open()
        before = sum(worker.memory_info().rss for worker in workers)
        with Crowd(target, plan, run.load_core) as crowd:
            opened = crowd.open()
            crowd.hold(2.0)
            after = sum(worker.memory_info().rss for worker in workers)
    return {"kib": (after - before) / (ROOMS * MEMBERS) / 1_024, "joins_per_s": opened["live"] / opened["seconds"]}


ROW = Row(
    "memory",
    f"memory of an idle connection ({ROOMS * MEMBERS:,} of them), worker RSS",
    {"kib": "KiB a connection", "joins_per_s": "joins/s"},
    measure,
    ("nchan", "ws", "socketio", "channels-core"),
    best="kib",
    more=False,
)
