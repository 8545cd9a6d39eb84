"""The rows of the benchmark, in the order of the table. Each measures one promise of the server."""

from __future__ import annotations

from collections.abc import Callable

from bench.bench import Bench
from bench.rows import deflate, fanout, idle10k, june, june100k, megaroom, memory, reconnect, stall

ROWS: dict[str, Callable[[Bench], None]] = {
    "fanout": fanout.run,
    "idle10k": idle10k.run,
    "megaroom": megaroom.run,
    "stall": stall.run,
    "reconnect": reconnect.run,
    "memory": memory.run,
    "deflate": deflate.run,
    "june-x10": june.run,
    "june-100k": june100k.run,
}
ONLY_WHEN_ASKED = {"june-100k"}
"""Not among all rows: they take this machine to its end for ten minutes."""
