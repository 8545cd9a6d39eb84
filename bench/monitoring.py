"""`python -m bench.monitoring`: what monitoring costs, in CPU time.

A worker that serves a Saturday, 10,000 people in 217 weddings and 5,000 deliveries a second, is switched between two ways of
working every second: as it is, and without counting, timing and reporting (`bench/switched_daphne.py`). The difference of
the CPU time of neighbouring spells is what monitoring costs. The control loop and a scrape are timed beside it, each by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOMS, PEOPLE, DELIVERIES_PER_S, WORKERS = 217, 10_000, 5_000, 8
SPELL_S, PAIRS = 1.0, 120
"""One report in each spell; neighbours are near enough for what else this machine does to be in both. Four minutes."""
SETTLE_S, SURE_S = 3.0, 30.0
"""A worker knows after 25 s that it is alone with its weddings, and works from then on as it does all day."""
TIMES = 200
GOAL = 0.03


def cpu_s(what: Callable[[], Any], times: int) -> float:
    """CPU seconds of one call."""
    what()
    before_s = time.process_time()
    for _ in range(times):
        what()
    return (time.process_time() - before_s) / times


def used_s(pid: int) -> float:
    """CPU seconds of all threads of a process so far."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def live(people: int, rate: float, pairs: int, spell_s: float) -> dict[str, float]:
    """{what: figure} of a worker under `rate` deliveries a second: CPU seconds a second with and without monitoring, and the
    difference with its standard error."""
    from bench.generator import Crowd
    from bench.machine import cores, free_port, pin, running
    from bench.peers import wedsync

    members = max(2, people // ROOMS)
    rooms = {f"wedding-{n}": members for n in range(min(ROOMS, people // members))}
    server, load = cores()
    with tempfile.TemporaryDirectory() as folder:
        redis, port = free_port(), free_port()
        env = {"REDIS_URL": f"redis://127.0.0.1:{redis}/0", "WEDSYNC_CONTROL": "", "WEDSYNC_LOAD_TESTING": "1"}
        _prepare(list(rooms), env)
        daphne = [sys.executable, "-m", "bench.switched_daphne", "-b", "127.0.0.1", "-p", str(port), "wedsync.asgi:application"]
        store = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        logs = Path(folder)
        with (
            running(store, load, logs / "redis.log", port=redis),
            running(daphne, server, logs / "daphne.log", port=port, env=os.environ | env) as worker,
            Crowd(wedsync.target([f"http://127.0.0.1:{port}"], [worker.pid]), rooms, load) as crowd,
        ):
            pin(worker.pid, server)
            crowd.open()
            crowd.hold(SURE_S)
            seconds = 2 * pairs * spell_s + 2 * SETTLE_S
            played: dict[str, Any] = {}
            playing = threading.Thread(target=lambda: played.update(crowd.load(rate / members, seconds=seconds, warmup_s=0.5)))
            playing.start()
            signal.sigtimedwait([], SETTLE_S)
            spells = []
            for _ in range(2 * pairs):
                before_s, began_s = used_s(worker.pid), time.monotonic()  # noqa: TID251 - of this machine, as it is
                signal.sigtimedwait([], spell_s)
                spells.append((used_s(worker.pid) - before_s) / (time.monotonic() - began_s))  # noqa: TID251
                worker.send_signal(signal.SIGUSR1)
            playing.join()
    return _compared(spells) | {"deliveries a second": played["deliveries_per_s"]}


def _compared(spells: Sequence[float]) -> dict[str, float]:
    """With, without, with, ...: each spell without against those around it."""
    on, off = spells[::2], spells[1::2]
    differences = [(a + b) / 2 - c for a, b, c in zip(on, on[1:], off, strict=False)]
    return {
        "with monitoring": statistics.mean(on),
        "without": statistics.mean(off),
        "difference": statistics.mean(differences),
        "its standard error": statistics.stdev(differences) / len(differences) ** 0.5,
    }


def _prepare(rooms: list[str], env: dict[str, str]) -> None:
    from realtime.drills.server import manage

    for database in ("default", "history"):
        manage(dict(os.environ | env), "migrate", "--verbosity", "0", "--database", database)
    manage(dict(os.environ | env), "drill", "seed", stdin=json.dumps(rooms))


def loaded() -> Any:
    """The parts of a worker that holds all these rooms and has delivered for hours."""
    from realtime.bootstrap import build
    from realtime.config import RealtimeConfig
    from realtime.histogram import index_of
    from realtime.kinds import Priority
    from realtime.presence import Presence
    from realtime.publication import Position
    from realtime.room import HeldRoom

    rng, parts = random.Random(1), build(RealtimeConfig())
    hub, measures = parts.hub, parts.hub.measures
    for n in range(ROOMS):
        room = HeldRoom(f"wedding-{n}", Position("e", 0, {}, 0), Presence(5.0, 25.0), 100, 100_000, measures)
        for role, people in {"guest": PEOPLE // ROOMS - 6, "planner": 1, "vendor": 3, "couple": 2}.items():
            measures.came(room.measures, role, people)
        for _ in range(300):
            room.measures.time(index_of(rng.lognormvariate(-6.2, 0.8)), 40)
        hub.rooms[room.name] = room
        measures.weddings.add(room.measures)
    for priority in Priority:
        for _ in range(5_000):
            measures.latency[priority].record(rng.lognormvariate(-6.2, 0.8), 40)
            measures.acked[priority].record(rng.lognormvariate(-3.5, 0.8), 1)
    parts.slot = "w1"
    return parts


def following(report: Any) -> Callable[[], Any]:
    """A second of the control loop: what it makes of the reports of eight workers."""
    from monitoring.history import History

    history, now = History(), [datetime(2027, 6, 12, 12, tzinfo=UTC)]
    from msgspec.structs import replace

    def second() -> None:
        now[0] += timedelta(seconds=1)
        reports = [replace(report, worker=f"h.{n}.x", slot=f"w{n}", at_s=now[0].timestamp()) for n in range(1, WORKERS + 1)]
        history.take(reports, now[0])

    return second


def beside() -> dict[str, float]:
    """{what: CPU milliseconds}: what is done with the reports, none of it by a worker."""
    from monitoring.exposition import worker_page
    from realtime.report import decode_report, encode_report
    from realtime.reporting import report

    raw = encode_report(report(loaded()))
    said = decode_report(raw)
    return {
        "control loop: reading eight reports, a second": cpu_s(lambda: decode_report(raw), TIMES) * WORKERS * 1_000,
        "control loop: history of eight workers, a second": cpu_s(following(said), TIMES) * 1_000,
        "web process: a scrape of one worker": cpu_s(lambda: worker_page(decode_report(raw)), TIMES) * 1_000,
        "bytes of a report": float(len(raw)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.monitoring", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as var:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "wedsync.settings",
            "SECRET_KEY": "of this run",
            "WEDSYNC_VAR": var,
            "REDIS_URL": "",
        }
        import django

        django.setup()
        figures = beside()
        found = live(PEOPLE, DELIVERIES_PER_S, PAIRS, SPELL_S)
    share = found["difference"] / found["with monitoring"]
    if asked.json:
        print(json.dumps(figures | found | {"share_of_a_worker_s_cpu": share, "goal": GOAL}))  # noqa: T201
    else:
        for name, figure in figures.items():
            print(f"{figure:10.3f} {'' if name.startswith('bytes') else 'ms  '}{name}")  # noqa: T201
        for name, figure in found.items():
            print(f"{figure:10,.4f} {name}{'' if name.startswith('deliveries') else ', CPU s a second'}")  # noqa: T201
        print(f"{share:10.2%} of the CPU time of a worker (goal: at most {GOAL:.0%})")  # noqa: T201
    sys.exit(share > GOAL)


if __name__ == "__main__":
    main()
