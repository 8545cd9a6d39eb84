"""`python -m bench.monitoring`: what monitoring costs a worker and the control loop, in CPU time.

A Saturday of 10,000 people in 217 weddings, 5,000 deliveries a second, with full histograms. Nothing is served meanwhile: each
part is called again and again, and its CPU time counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

ROOMS, PEOPLE, DELIVERIES_PER_S, WORKERS = 217, 10_000, 5_000, 8
SECONDS = 200
GOAL = 0.03


def cpu_s(what: Callable[[], Any], times: int) -> float:
    """CPU seconds of one call."""
    what()
    before_s = time.process_time()
    for _ in range(times):
        what()
    return (time.process_time() - before_s) / times


def loaded() -> Any:
    """The parts of a worker that holds all these rooms and has delivered for hours."""
    from realtime.bootstrap import build
    from realtime.config import RealtimeConfig
    from realtime.kinds import Priority
    from realtime.presence import Presence
    from realtime.publication import Position
    from realtime.room import HeldRoom

    rng, parts = random.Random(1), build(RealtimeConfig())
    hub, measures = parts.hub, parts.hub.measures
    for n in range(ROOMS):
        room = HeldRoom(f"wedding-{n}", Position("e", 0, {}, 0), Presence(5.0, 25.0), 100, 100_000, measures)
        room.roles.update({"guest": PEOPLE // ROOMS - 6, "planner": 1, "vendor": 3, "couple": 2})
        for _ in range(300):
            room.measures.latency.record(rng.lognormvariate(-6.2, 0.8), 40)
        hub.rooms[room.name] = room
    for priority in Priority:
        for _ in range(5_000):
            measures.latency[priority].record(rng.lognormvariate(-6.2, 0.8), 40)
            measures.acked[priority].record(rng.lognormvariate(-3.5, 0.8), 1)
    parts.slot = "w1"
    return parts


def counting(parts: Any) -> float:
    """CPU seconds for each second of delivering at this rate: one publication to a whole wedding counts its members at once."""
    from realtime.frame import Frame
    from realtime.kinds import Priority

    room = next(iter(parts.hub.rooms.values()))
    frame = Frame.__new__(Frame)
    frame.priority, frame.received_s = Priority.P1, parts.clock.monotonic()
    members = PEOPLE // ROOMS
    once = cpu_s(lambda: parts.hub.measures.delivered(room.measures, [frame], members), 20_000)
    return once * DELIVERIES_PER_S / members


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


async def sent_s(report: Any, url: str) -> float:
    """CPU seconds of leaving a report in Redis, encoding included."""
    from realtime.adapters.registry import RedisRegistry

    registry = RedisRegistry(url, timeout_s=5.0)
    await registry.report(report)
    before_s = time.process_time()
    for _ in range(SECONDS):
        await registry.report(report)
    took_s = (time.process_time() - before_s) / SECONDS
    await registry.stop()
    return took_s


def measured(redis_url: str = "") -> dict[str, float]:
    """{what: CPU milliseconds for each second}."""
    from monitoring.exposition import worker_page
    from realtime.report import decode_report, encode_report
    from realtime.reporting import report

    parts = loaded()
    said = report(parts)
    raw = encode_report(said)
    sending_s = asyncio.run(sent_s(said, redis_url)) if redis_url else cpu_s(lambda: encode_report(said), SECONDS)
    return {
        "counting deliveries": counting(parts) * 1_000,
        "making the report": cpu_s(lambda: report(parts), SECONDS) * 1_000,
        SENDING if redis_url else ENCODING: sending_s * 1_000,
        "control loop: reading eight reports": cpu_s(lambda: decode_report(raw), SECONDS) * WORKERS * 1_000,
        "control loop: history of eight workers": cpu_s(following(said), SECONDS) * 1_000,
        "web process: a scrape of one worker": cpu_s(lambda: worker_page(decode_report(raw)), SECONDS) * 1_000,
        "bytes of a report": float(len(raw)),
    }


SENDING, ENCODING = "encoding it and leaving it in Redis", "encoding it (not: leaving it in Redis, see --redis)"
OF_THE_WORKER = ("counting deliveries", "making the report", SENDING, ENCODING)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.monitoring", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--redis", default="", metavar="URL", help="an empty Redis to leave reports in, redis://host:port/0")
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
        found = measured(asked.redis)
    share = sum(found.get(name, 0.0) for name in OF_THE_WORKER) / 1_000
    if asked.json:
        print(json.dumps(found | {"share_of_a_worker_s_core": share, "goal": GOAL}))  # noqa: T201
    else:
        for name, figure in found.items():
            print(f"{figure:10.3f} {'' if name.startswith('bytes') else 'ms  '}{name}")  # noqa: T201
        print(f"{share:10.2%} of a worker's core (goal: at most {GOAL:.0%})")  # noqa: T201
    sys.exit(share > GOAL)


if __name__ == "__main__":
    main()
