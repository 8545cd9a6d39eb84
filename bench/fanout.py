"""The fan-out row: 50 rooms of 100 members, bench.tick of 200 bytes, one worker on one core, the load on the other.

    script/bench fanout [--rates 1000,2000,5000] [--seconds 5] [--json FILE]

For each publish rate (open loop): deliveries per second and per CPU-second of the server, latency from the intended moment of
sending to the moment read by each member, what was lost, and how busy the generator was (its figures count only below 0.9).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
os.environ["WEDSYNC_DEBUG"] = "1"
os.environ["WEDSYNC_LOAD_TESTING"] = "1"
os.environ["WEDSYNC_VAR"] = tempfile.mkdtemp(prefix="wedsync-bench-")
os.environ.pop("CI", None)

import django  # noqa: E402

django.setup()

import psutil  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from realtime.access import issue_ticket  # noqa: E402
from realtime.clock import SystemClock  # noqa: E402
from realtime.drills.server import own_server  # noqa: E402
from realtime.messages import Sender  # noqa: E402

SIZE_BYTES = 200
WARMUP_S = 3.0


def build(folder: Path) -> Path:
    """The load generator, compiled."""
    program = folder / "loadgen"
    source = ROOT / "bench/loadgen.c"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(source), "-lm"], check=True)
    return program


def tickets(folder: Path, rooms: list[str], members: int) -> Path:
    now = SystemClock().now()
    lines = [
        f"{room} {issue_ticket(room, Sender(f'{room}-{n}', 'load'), now=now, ttl_s=3_600, reusable=True)}"
        for room in rooms
        for n in range(members)
    ]
    file = folder / "tickets"
    file.write_text("\n".join(lines) + "\n")
    return file


def measure(program: Path, file: Path, url: str, pid: int, rate: float, seconds: float) -> dict[str, Any]:
    """One run. CPU of the server is read when the generator begins and ends to measure."""
    host, port = url.removeprefix("http://").split(":")
    server = psutil.Process(pid)
    command = [
        "taskset",
        "-c",
        "1",
        str(program),
        host,
        port,
        str(file),
        str(WARMUP_S),
        str(seconds),
        str(rate),
        str(SIZE_BYTES),
    ]
    cpu: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            row: dict[str, Any] = json.loads(line)
            times = server.cpu_times()
            cpu[row["phase"]] = times.user + times.system
    if process.returncode:
        raise SystemExit("the load generator failed")
    used_s = cpu["measured"] - cpu["measure"]
    row |= {"rate": rate, "server_cpu_s": used_s, "per_cpu_s": row["delivered"] / used_s if used_s else None}
    return row | {"lost": row["expected"] - row["delivered"], "server_rss_mib": server.memory_info().rss / 1_048_576}


async def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    rooms = [f"bench-{n}" for n in range(options.rooms)]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, file = build(folder), tickets(folder, rooms, options.members)
        for rate in options.rates:
            async with own_server(rooms, SystemClock()) as server:
                os.sched_setaffinity(server.pid, {0})
                rows.append(await asyncio.to_thread(measure, program, file, server.url, server.pid, rate, options.seconds))
                show([rows[-1]], head=len(rows) == 1)
    return rows


def show(rows: list[dict[str, Any]], *, head: bool = True) -> None:
    table = Table(show_header=head)
    for column in ("publishes/s", "deliveries/s", "per CPU-s", "p50 ms", "p99 ms", "p99.9 ms", "lost", "generator busy"):
        table.add_column(column, justify="right", min_width=10)
    for row in rows:
        per_cpu = "not measured" if row["per_cpu_s"] is None else f"{row['per_cpu_s']:,.0f}"
        latencies = [f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms", "p999_ms")]
        busy = f"{row['generator_busy']:.0%}"
        table.add_row(f"{row['rate']:,.0f}", f"{row['deliveries_per_s']:,.0f}", per_cpu, *latencies, str(row["lost"]), busy)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--rates", type=lambda text: [float(part) for part in text.split(",")], default=[1_000, 2_500, 5_000])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", metavar="FILE", help="write the rows there")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        rows = asyncio.run(run(options))
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
