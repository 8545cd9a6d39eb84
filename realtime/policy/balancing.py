"""Which worker holds a wedding. PURE: rendezvous hashing with a bound on load."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

BOUND = 1.25


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as placing sees it. `load`: its sockets and what was passed to it since. `weight` 0: it takes nobody."""

    slot: str
    load: float
    weight: float = 1.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    worker: str
    first_choice: str
    reason: str


def place(key: str, role: str, workers: Sequence[Worker]) -> Placement:
    """The worker for `key`: the first in the order of its hashes that is not above the bound. "" when nobody takes anybody."""
    order = sorted(workers, key=lambda w: hashlib.blake2b(f"{key}|{w.slot}".encode(), digest_size=8).digest())
    first = order[0].slot if order else ""
    able = [worker for worker in order if worker.weight > 0]
    if not able:
        return Placement("", first, "unhealthy")
    cap = math.ceil(BOUND * (sum(w.load for w in able) + 1) / len(able))
    chosen = next((worker for worker in able if worker.load < cap), able[0])
    return Placement(chosen.slot, first, "affinity" if chosen.slot == first else "spill")
