"""Which worker holds a wedding. PURE: weighted rendezvous hashing with a bound on load.

Every process that knows the same workers comes to the same answer: the hash is blake2b, not Python's own.
Sources: Thaler and Ravishankar 1998 (rendezvous); Mirrokni, Thorup, Zadimoghaddam 2018 (bounded loads); ops.md 3.3.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from msgspec import Struct

BOUND = 1.25
"""A worker may hold so much more than its share: in the paper, the moves per change grow with 1/(bound - 1)^2."""
LOOSER = 0.05
"""After a scale-out the bound is this far above what the fullest worker has."""
PLANNER_MORE = 1.10
"""Planners may exceed the bound by so much: few, and the last who should be away from their wedding."""
FLOOR = 50
"""Sockets every worker may hold whatever the mean is: a wedding of mean size (48). Splitting less than that relieves nobody."""
JOIN_COSTS = 20
"""A join in progress weighs as much as this many sockets (ops.md 3.3). It costs about 1 ms of CPU, 200 times what a socket of a
Saturday takes a second, and is over in a tenth of one: so a storm does not all go to the worker that looks empty."""
SLOW_START_S = 30.0
SLOW_START_FROM = 0.1
SHARD_SHARE = 0.25
"""A room larger than this share of a worker is spread over several keys: it fits nowhere whole (ops.md 3.2)."""
PLAN_BOUND = 1.10
"""Planned homes stay below this, so that people who come unexpectedly find room below `BOUND`."""

Reason = Literal["affinity", "spill", "drain", "unhealthy"]


class Worker(Struct, frozen=True):
    """A worker as placing sees it. `load`: see `load_of`. `weight` 0: it takes nobody, and `reason` says why."""

    slot: str
    load: float
    weight: float = 1.0
    reason: str = ""


class Server(Struct, frozen=True):
    """A worker as a proxy sees it. `address`: host:port. `weight` 0: no new sockets, those it has stay."""

    slot: str
    address: str
    weight: float = 1.0


class Placement(Struct, frozen=True):
    """`worker` is "" when nobody takes anybody. `first_choice`: where the wedding belongs when all are well."""

    worker: str
    first_choice: str
    reason: Reason


def load_of(sockets: int, joining: int) -> float:
    """What a worker carries, in idle sockets."""
    return sockets + JOIN_COSTS * joining


def slow_start(age_s: float) -> float:
    """The weight of a worker that has been ready for `age_s`: 0.1 to 1 within 30 s. Its caches are cold, its joins slow."""
    return min(1.0, SLOW_START_FROM + (1 - SLOW_START_FROM) * max(0.0, age_s) / SLOW_START_S)


def shards_of(people: float, capacity: float) -> int:
    """Over how many keys a room of so many is spread: 1, or one for each quarter of a worker."""
    return math.ceil(people / (SHARD_SHARE * capacity)) if people > SHARD_SHARE * capacity else 1


def shard(wedding: str, number: int) -> str:
    """The key of one shard of a wedding. Slugs have no "#"."""
    return f"{wedding}#{number}"


def shards_in(homes: Iterable[str]) -> dict[str, int]:
    """{wedding: over how many keys it is spread}, from the keys that have a home. Others have one key, their slug."""
    return dict(Counter(key.partition("#")[0] for key in homes if "#" in key))


@lru_cache(maxsize=20_000)  # 2,700 weddings of a Saturday with 100,000 people, before and after some changes of the fleet
def scores(key: str, slots: tuple[str, ...]) -> tuple[float, ...]:
    """What speaks for each slot, to be multiplied by its weight; the highest product wins (-w / ln h, h even in (0, 1))."""
    found = []
    for slot in slots:
        number = int.from_bytes(hashlib.blake2b(f"{key}|{slot}".encode(), digest_size=8).digest(), "big")
        found.append(-1.0 / math.log((number + 1) / (2**64 + 2)))
    return tuple(found)


def first_choice(key: str, slots: Sequence[str]) -> str:
    """Where `key` belongs when all of `slots` are well and warm; "" when there are none."""
    found = scores(key, tuple(slots))
    return slots[found.index(max(found))] if slots else ""


def place(key: str, role: str, workers: Sequence[Worker], *, home: str = "", bound: float = BOUND) -> Placement:
    """The worker for one more member of `key`: its home, or the best of its hash, that takes people and is below the bound.

    `home`: where the balancer has put this wedding, "" for nowhere in particular. When all are above the bound (a planner's
    is higher) the one with the smallest share of its own bound takes it: somebody must. O(workers).
    """
    if not workers:
        return Placement("", "", "unhealthy")
    names = tuple([worker.slot for worker in workers])
    base = scores(key, names)
    total = weights = 0.0
    for worker in workers:
        if worker.weight > 0:
            total += worker.load
            weights += worker.weight
    first = home if home in names else names[base.index(max(base))]
    if not weights:
        return Placement("", first, _why(workers, first))
    share = bound * (PLANNER_MORE if role == "planner" else 1.0) * (total + 1) / weights
    best = fallback = -1
    best_score, least = -1.0, math.inf
    for index, worker in enumerate(workers):
        if worker.weight <= 0:
            continue
        cap = max(math.ceil(share * worker.weight), FLOOR * worker.weight)
        score = math.inf if worker.slot == home else base[index] * worker.weight
        if worker.load < cap and score > best_score:
            best, best_score = index, score
        if worker.load / cap < least:
            fallback, least = index, worker.load / cap
    chosen = workers[best if best >= 0 else fallback].slot
    return Placement(chosen, first, "affinity" if chosen == first else _why(workers, first))


def _why(workers: Sequence[Worker], first: str) -> Reason:
    """Why `first` does not take it."""
    worker = next(worker for worker in workers if worker.slot == first)
    if worker.weight > 0:
        return "spill"
    return "drain" if worker.reason == "drain" else "unhealthy"


def unevenness(workers: Sequence[Worker]) -> float:
    """The highest load by its weight, over the mean: 1.0 is even. Workers of weight 0 do not count."""
    able = [worker for worker in workers if worker.weight > 0]
    total, weights = sum(worker.load for worker in able), sum(worker.weight for worker in able)
    return max(worker.load / worker.weight for worker in able) / (total / weights) if total else 1.0


@dataclass(slots=True)
class Bound:
    """The bound now. A fresh worker lowers everybody's share at once: with 1.25 kept, the old workers would be above it and
    guests who return would be split from their wedding (ops.md 3.3: 74 % of the weddings lost their home). So the bound rises
    with a change of the workers, and comes down only as the rebalancer makes loads even."""

    value: float = BOUND
    _fleet: tuple[tuple[str, float], ...] = ()

    def step(self, workers: Sequence[Worker]) -> float:
        """To be asked with each new view of the workers, about once a second."""
        fleet = tuple(sorted((worker.slot, worker.weight) for worker in workers if worker.weight > 0))
        loose = unevenness(workers) + LOOSER
        self.value = max(BOUND, loose if fleet != self._fleet else min(self.value, loose))
        self._fleet = fleet
        return self.value


def plan_homes(expected: Mapping[str, int], slots: Sequence[str], busy: Mapping[str, str] | None = None) -> dict[str, str]:
    """{wedding: slot} for those that must not go where their hash says, so that all stay whole and no worker is above 1.10.

    `expected`: {wedding: people at its peak}. `busy`: {wedding: slot} of those that stay where they are. The largest choose
    first; each takes the best of its hash with room. The same in every process. O(weddings x workers).
    """
    busy = busy or {}
    slots = tuple(sorted(slots))
    if not slots:
        return {}
    limit = PLAN_BOUND * sum(expected.values()) / len(slots)
    loads = dict.fromkeys(slots, 0)
    homes: dict[str, str] = {}
    for wedding in sorted(expected, key=lambda w: (busy.get(w) not in loads, -expected[w], w)):
        base = dict(zip(slots, scores(wedding, slots), strict=True))
        roomy = [slot for slot in slots if loads[slot] + expected[wedding] <= limit]
        best = max(roomy, key=base.__getitem__) if roomy else min(slots, key=loads.__getitem__)
        home = busy[wedding] if busy.get(wedding) in loads else best
        loads[home] += expected[wedding]
        if home != max(slots, key=base.__getitem__):
            homes[wedding] = home
    return homes
