"""10,000 members of a fleet with two workers lose their connection at once and come back with their tickets and positions."""

from __future__ import annotations

import json
import urllib.request

import psutil

from bench.bench import Bench, medians, rooms_of
from bench.generator import Counts, Crowd
from bench.machine import CannotMeasure
from bench.peers import OURS, wedsync

ROOMS, MEMBERS = 100, 100
WORKERS = 2
IN_FLIGHT = 500
"""Handshakes at a time: the others wait for their turn, as clients with jitter do."""


def publish(url: str, room: str) -> None:
    """One durable publication in the room, over HTTP, by a planner."""
    request = urllib.request.Request(f"{url}/api/weddings/{room}/publish/", method="POST")
    name, _, value = wedsync.ticket(room, 0, role="planner").partition(": ")
    request.add_header(name, value)
    body = {"kind": "chat.guests", "data": {"text": "While you were away."}}
    with urllib.request.urlopen(request, json.dumps(body).encode(), timeout=10) as answer:
        if answer.status != 201:
            raise CannotMeasure(f"publishing was answered with {answer.status}")


def _measure(bench: Bench, rooms: dict[str, int]) -> Counts:
    with wedsync.fleet(list(rooms), WORKERS) as (url, pid):
        pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        target = wedsync.target([url], pids)
        # The load shares both cores with the two workers.
        with Crowd(target, rooms, None) as crowd:
            crowd.open()
            crowd.drop()
            crowd.hold(10.0)  # everybody is away in the eyes of the others
            for room in rooms:
                publish(url, room)
            counts = crowd.open(in_flight=IN_FLIGHT)
    if counts["replayed"] != counts["live"] or counts["recovered"] != counts["live"]:
        bench.note(
            f"of {counts['live']:,} members {counts['recovered']:,} resumed, and saw {counts['replayed']:,} missed publications"
        )
    return counts | {
        "generator_s": counts["busy"] * counts["seconds"],
        "server_cpu_s": sum(counts["cpu_s"]),
        "not_resumed": counts["live"] - min(counts["recovered"], counts["replayed"]),
    }


def run(bench: Bench) -> None:
    """The row: only ours can resume."""
    rooms = rooms_of(ROOMS, int(bench.pick(20, MEMBERS)))
    found = bench.each(lambda name: _measure(bench, rooms), only=[OURS])
    bench.line("all back with what they missed, s", medians(found, "seconds"), "4", digits=2)
    bench.line("... CPU of the generator in it, s", medians(found, "generator_s"), digits=2, rising=None)
    bench.line("... CPU of the fleet in it, s", medians(found, "server_cpu_s"), digits=2, rising=None)
    bench.line("... refused at first", medians(found, "failed"), digits=0)
    bench.line("... did not resume, or missed something", medians(found, "not_resumed"), "0", digits=0)
