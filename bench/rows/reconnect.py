"""10,000 clients lose their connection at once, authenticate again and resume: until the last is live, two workers."""

from __future__ import annotations

from bench.generator import Crowd
from bench.peers import wedsync
from bench.rows.base import Figures, Row, Run, rooms

ROOMS, MEMBERS, IN_FLIGHT = 100, 100, 400


def measure(run: Run) -> Figures:
    """The storm, as fast as the server lets them in; the generator shares the two cores with the workers."""
    plan = rooms(ROOMS, MEMBERS)
    with wedsync.start_fleet(run.folder, list(plan)) as target, Crowd(target, plan, run.load_core) as crowd:
        first = crowd.open(IN_FLIGHT)
        crowd.drop()
        again = crowd.open(IN_FLIGHT)
    return {
        "first_s": first["seconds"],
        "seconds": again["seconds"],
        "failed": again["failed"],
        "cpu_ms": 1_000 * sum(again["cpu_s"]) / again["members"],
        "busy": again["busy"],
    }


ROW = Row(
    "reconnect",
    f"{ROOMS * MEMBERS:,} clients come back, authenticate and resume; two workers on two cores, generator included",
    {
        "seconds": "seconds until all are live",
        "first_s": "the first time, by ticket",
        "cpu_ms": "workers' CPU ms a join",
        "failed": "failed attempts",
        "busy": "generator busy",
    },
    measure,
    (),
    best="seconds",
    more=False,
)
