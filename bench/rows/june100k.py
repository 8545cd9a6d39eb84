"""`sat-june-100k`: a Saturday with 100,000 people on this machine, on seven workers, durable kinds in PostgreSQL.

Roles, audiences and heartbeats are as they are. Who is cut off comes back and must not have missed anything durable.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil
import psycopg

from bench.bench import Bench, medians
from bench.day import Crowds, script
from bench.generator import Counts
from bench.machine import CannotMeasure
from bench.peers import OURS, wedsync
from bench.postgres import fresh_database
from realtime.drills.workloads import PROFILES, rooms

PROFILE = PROFILES["sat-june-100k"]
CONNECTIONS, WORKERS, SECONDS = 100_000, 7, 300.0
IN_FLIGHT, PATIENCE_S, DRAIN_S = 600, 600.0, 30.0
SETTLE_S = 30.0
ITEMS = """
SELECT w.slug, min(i.id) FILTER (WHERE i.kind = 'cue'), min(i.id) FILTER (WHERE i.kind <> 'cue')
FROM weddings_runsheetitem i JOIN weddings_wedding w ON w.id = i.wedding_id GROUP BY w.slug
"""


def _measure(bench: Bench) -> Counts:
    connections, seconds = int(bench.pick(20_000, CONNECTIONS)), bench.pick(30.0, SECONDS)
    plan = rooms(PROFILE, connections)
    with fresh_database() as url, wedsync.fleet([r.name for r in plan], int(bench.pick(2, WORKERS)), url) as fleet:
        processes = psutil.Process(fleet[1]).children(recursive=True)
        target = wedsync.target([fleet[0]], [process.pid for process in processes])
        with Crowds(target, plan, yields=True) as crowds, tempfile.TemporaryDirectory(prefix="wedsync-june-") as folder:
            bench.say(f"june-100k: {connections:,} connections come in")
            opened = crowds.open(IN_FLIGHT, PATIENCE_S)
            with psycopg.connect(url) as database:
                items = {slug: (cue, other) for slug, cue, other in database.execute(ITEMS)}
            scripts = [script(PROFILE, part, items, seconds, seed) for seed, part in enumerate(crowds.parts, 1)]
            bench.say(f"june-100k: all in after {opened['seconds']:.0f} s; {seconds:g} s are played")
            crowds.hold(SETTLE_S)
            counts = crowds.play(scripts, seconds, DRAIN_S, Path(folder))
        rss_bytes = sum(process.memory_info().rss for process in processes if process.is_running())
    return counts | _judged(counts, opened, rss_bytes, len(plan))


def _judged(counts: Counts, opened: Counts, rss_bytes: int, weddings: int) -> Counts:
    """The figures of the table. Raises CannotMeasure when the generator did not do what it was to do."""
    if counts["unsent"] > 0.001 * (counts["p01_published"] + counts["p2_published"] + counts["p3_published"]):
        raise CannotMeasure(f"{counts['unsent']:,} publications could not be sent")
    broken = sum(counts[f"{name}_{what}"] for name in ("p01", "p2") for what in ("lost", "twice"))
    return {
        "broken": broken + counts["out_of_order"],
        "weddings": weddings,
        "opened_s": opened["seconds"],
        "rss_gib": rss_bytes / (1 << 30),
        "server_cpu": sum(counts["cpu_s"]) / counts["seconds"],
        "generator_cpu": counts["generator_cpu_s"] / counts["seconds"],
        "deliveries_per_s": sum(counts[f"{name}_distinct"] for name in ("p01", "p2", "p3")) / counts["seconds"],
        "valid": True,
    }


def run(bench: Bench) -> None:
    """The row: what gives first shows in who is busy."""
    found = bench.each(lambda name: _measure(bench), only=[OURS], runs=1)
    bench.line("P0 and P1, p99 ms", medians(found, "p01_p99_ms"), "100")
    bench.line("P2, p99 ms", medians(found, "p2_p99_ms"))
    bench.line("P3, p99 ms", medians(found, "p3_p99_ms"))
    bench.line("durable: lost, twice, out of order", medians(found, "broken"), "0", digits=0)
    bench.line("refused of P0 and P1", medians(found, "p01_refused"), "0", digits=0)
    bench.line("refused of all", medians(found, "refused"), "0", digits=0)
    bench.line("deliveries/s", medians(found, "deliveries_per_s"), digits=0, rising=None)
    bench.line("cut off and back", medians(found, "cut"), digits=0, rising=None)
    bench.line("all connected after, s", medians(found, "opened_s"), digits=0, rising=None)
    bench.line("cores, fleet with its Redis", medians(found, "server_cpu"), digits=2, rising=None)
    bench.line("cores, generator", medians(found, "generator_cpu"), digits=2, rising=None)
    bench.line("memory of the fleet, GiB", medians(found, "rss_gib"), digits=2, rising=None)
