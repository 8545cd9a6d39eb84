"""1 KB of JSON to rooms of 100: bytes on the wire and CPU with permessage-deflate, against the same without it."""

from __future__ import annotations

import random

from bench.bench import Bench, median, rooms_of
from bench.generator import MARK_BYTES, Counts

ROOMS, MEMBERS = 10, 100
PER_S = 100
SIZE = 1_024
BODIES = 64
ONLY = ("wedsync", "nchan", "ws", "socketio")
TITLES = ["ceremony", "cocktail", "dinner", "speeches", "cake", "first dance", "doors", "photo", "group"]
PLACES = ["garden", "hall", "terrace", "chapel", "bar", "kitchen", "gate", "stage", "lawn", "tent"]


def bodies(wrap_bytes: int) -> list[str]:
    """Run sheet items as JSON, each text different, of `SIZE` bytes when delivered. Apostrophes for quotation marks: it is the
    value of a string in what most servers here send.
    """
    rng = random.Random(1)
    return [_items(rng)[: SIZE - wrap_bytes - MARK_BYTES] for _ in range(BODIES)]


def _items(rng: random.Random) -> str:
    items = []
    for _ in range(9):
        title, where = " ".join(rng.sample(TITLES, 2)), " ".join(rng.sample(PLACES, 2))
        minute, item = rng.randrange(600), rng.randrange(10_000)
        items.append(
            f"{{'id':{item},'start':'2027-06-12T{minute // 60 + 10:02}:{minute % 60:02}:00Z','minutes':{rng.randrange(5, 90)},"
            f"'title':'{title}','where':'{where}','status':'pending','version':{rng.randrange(40)}}}"
        )
    return ",".join(items)


def run(bench: Bench) -> None:
    """The row."""
    without = bench.each(lambda name: _measure(bench, name, deflate=False), only=ONLY)
    with_it = bench.each(lambda name: _measure(bench, name, deflate=True), only=ONLY)
    share: dict[str, float | None] = {}
    times: dict[str, float | None] = {}
    for name, runs in with_it.items():
        if runs and not any(counts["compressed"] for counts in runs):
            bench.note(f"{name} compressed nothing")
            continue
        share[name] = _ratio(runs, without[name], "bytes_per_delivery", 100)
        times[name] = _ratio(runs, without[name], "cpu_us", 1)
    bench.line("bytes, % of plain", share, "46")
    bench.line("CPU per delivery, times plain", times, "1.15", digits=2)
    bench.line("CPU per delivery with deflate, us", {name: median(runs, "cpu_us") for name, runs in with_it.items()})


def _ratio(above: list[Counts], below: list[Counts], figure: str, factor: float) -> float | None:
    a, b = median(above, figure), median(below, figure)
    return a / b * factor if a is not None and b else None


def _measure(bench: Bench, name: str, *, deflate: bool) -> Counts:
    rooms = rooms_of(ROOMS, MEMBERS)
    with bench.serving(name, rooms, deflate=deflate, bodies=bodies(WRAP.get(name, 0))) as (_, crowd):
        crowd.open()
        counts = crowd.load(PER_S, seconds=bench.pick(5.0, 10.0), warmup_s=3.0)
    return counts | {"bytes_per_delivery": counts["bytes"] / counts["in_window"] if counts["in_window"] else None}


WRAP = {"wedsync": 140, "socketio": 12}
