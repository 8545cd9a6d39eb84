"""`sat-june-10k-x10`: a Saturday with ten times the messages, durable kinds in PostgreSQL. The load drill plays it.

The worker has one core, the clients of the drill the other; PostgreSQL runs on either.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bench import Bench, medians
from bench.generator import Counts
from bench.machine import ROOT, CannotMeasure
from bench.peers import OURS, wedsync
from bench.postgres import fresh_database
from realtime.drills.workloads import PROFILES, rooms

PROFILE = PROFILES["sat-june-10k-x10"]
CONNECTIONS = 10_000
PRIORITIES = ("P0", "P1")


def _measure(bench: Bench) -> Counts:
    connections, minutes = int(bench.pick(2_000, CONNECTIONS)), bench.pick(0.25, 1.0)
    names = [room.name for room in rooms(PROFILE, connections)]
    with (
        TemporaryDirectory(prefix="wedsync-bench-") as folder,
        fresh_database() as database_url,
        wedsync.start(Path(folder), bench.server_core, names, database_url=database_url) as server,
    ):
        url = f"http://127.0.0.1:{server.ports[0]}"
        command = [sys.executable, "manage.py", "drill", "load", "--profile", PROFILE.name, "--json", "--url", url]
        command += ["--connections", str(connections), "--minutes", str(minutes)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise CannotMeasure(done.stderr.strip()[-500:])
    printed = json.loads(done.stdout)
    if not printed["passed"]:
        bench.note(f"the drill failed: {printed['reason']}")
    result: Counts = printed["load"]
    latencies = [result["latency"][name]["p99_ms"] for name in PRIORITIES if name in result["latency"]]
    return result | {
        "p99_ms": max((value for value in latencies if value is not None), default=None),
        "broken": sum(violation["count"] for violation in result["violations"]),
    }


def run(bench: Bench) -> None:
    """The row."""
    found = bench.each(lambda name: _measure(bench), only=[OURS])
    bench.line("P0 and P1, p99 ms", medians(found, "p99_ms"), "25")
    bench.line("lost, twice, out of order, leaked", medians(found, "broken"), "0", digits=0)
    bench.line("CPU of the drill's generator, % of a core", medians(found, "generator_cpu_percent"), digits=0, rising=None)
