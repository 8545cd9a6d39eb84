"""Which weddings go elsewhere, so that workers carry the same. PURE. Whole weddings, one after the other, never in a ceremony.

The worker that is left asks guests first and planners last; here it is only decided which wedding goes where, and when.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from realtime.policy.balancing import Worker, first_choice, unevenness

START, STOP = 1.20, 1.08
"""Uneven above START for START_S, even below STOP (ops.md 2.4): below the bound, where people would be split from weddings."""
START_S = 30.0
SHARE_PER_S = 0.002
"""Of all sockets: 20 a second at 10,000, about as many as come and go by themselves."""
PER_S_LEAST = 10.0
"""A small fleet is even within a minute all the same."""
SETTLE_S = 3.0
"""After a wedding has moved, before the next: reports come once a second, and its people are counted twice for a moment."""
GONE_S = 5.0
"""A worker that is not heard of for longer is gone: one whose report is late does not cost its weddings their home."""


@dataclass(frozen=True, slots=True)
class Held:
    """One wedding: {slot: sockets}. `protected`: its ceremony is near or on; it is not moved."""

    wedding: str
    at: Mapping[str, int]
    protected: bool = False


@dataclass(frozen=True, slots=True)
class MovePlan:
    """Ask the members of `wedding` on `source` to come back; `target` is its home from now on."""

    wedding: str
    source: str
    target: str
    sockets: int
    per_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rebalancing:
    """What is remembered between two looks: since when it is uneven, whether it is being made even, when the next may go, and
    the homes of those that are not where their hash says. `gone`: {slot: since when it is not heard of}."""

    uneven_since_s: float | None = None
    active: bool = False
    next_s: float = -math.inf
    homes: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, float] = field(default_factory=dict)


def settle(
    workers: Sequence[Worker], weddings: Sequence[Held], past: Rebalancing, now_s: float, *, hashes_alike: bool
) -> Rebalancing:
    """A wedding that nobody has put anywhere is at home where most of it is, so that who comes back finds the others.

    A home is forgotten when its worker drains or is gone for longer than `GONE_S`; one that is lame or silent for a moment
    keeps its people, who would be split from those that come. `hashes_alike`: homes where the hash says so need no name, and
    those whose worker drains come together by it; otherwise they get a new home before they are told to go.
    """
    able = {worker.slot: worker for worker in workers if worker.weight > 0}
    draining = {worker.slot for worker in workers if worker.weight <= 0 and worker.reason == "drain"} - able.keys()
    heard = {worker.slot for worker in workers}
    gone = {slot: past.gone.get(slot, now_s) for slot in set(past.homes.values()) - heard}
    left = draining | {slot for slot, since_s in gone.items() if now_s - since_s > GONE_S}
    kept = {wedding: slot for wedding, slot in past.homes.items() if slot not in left}
    homes, slots = dict(kept), tuple(sorted(heard - draining))
    for held in weddings:
        at = {slot: n for slot, n in held.at.items() if slot in (slots if hashes_alike else able)}
        if at and held.wedding not in kept:
            most = max(at, key=at.__getitem__)
            if not hashes_alike or most != first_choice(held.wedding, slots):
                homes[held.wedding] = most
    if not hashes_alike and able:
        homes |= _new_homes([held for held in weddings if held.wedding not in homes and draining & held.at.keys()], able)
    return replace(past, homes=homes, gone=gone)


def _new_homes(leaving: Sequence[Held], able: Mapping[str, Worker]) -> dict[str, str]:
    """The largest first, each to the worker that carries least."""
    homes, loads = {}, {slot: worker.load for slot, worker in able.items()}
    sizes = {held.wedding: sum(held.at.values()) for held in leaving}
    for wedding, size in sorted(sizes.items(), key=lambda one: (-one[1], one[0])):
        slot = min(loads, key=lambda slot: ((loads[slot] + size) / able[slot].weight, slot))
        homes[wedding] = slot
        loads[slot] += size
    return homes


def rebalance(
    workers: Sequence[Worker], weddings: Sequence[Held], past: Rebalancing, now_s: float, joins_per_s: float = 1_500.0
) -> tuple[list[MovePlan], Rebalancing]:
    """The wedding to move now (none, or one), and what to remember. O(weddings x workers).

    Split weddings are brought home whenever home has room; weddings change their home only while loads are uneven.
    """
    able = [worker for worker in workers if worker.weight > 0]
    now = _remember(able, weddings, past, now_s)
    total = sum(worker.load for worker in able)
    if len(able) < 2 or not total or now_s < now.next_s:
        return [], now
    per_s = max(PER_S_LEAST, min(0.5 * joins_per_s * (len(able) - 1), SHARE_PER_S * total))
    plan = (_make_even(able, weddings, now, per_s) if now.active else None) or _bring_home(able, weddings, now, per_s)
    if plan is None:
        # Few large weddings never are even. Nobody is on the way, as workers that may leave want to know; it is tried again.
        return [], replace(now, active=False, uneven_since_s=None) if now.active else now
    homes = {**now.homes, plan.wedding: plan.target}
    return [plan], replace(now, homes=homes, next_s=now_s + plan.sockets / per_s + SETTLE_S)


def _slots(workers: Sequence[Worker]) -> tuple[str, ...]:
    return tuple(sorted(worker.slot for worker in workers))


def _remember(able: Sequence[Worker], weddings: Sequence[Held], past: Rebalancing, now_s: float) -> Rebalancing:
    """Forget homes of weddings that are over; see whether it is uneven for long enough."""
    uneven = unevenness(able)
    off = uneven > START or _one_is_empty(able)
    since_s = (past.uneven_since_s if past.uneven_since_s is not None else now_s) if off else None
    starts = since_s is not None and now_s - since_s >= START_S
    there = {held.wedding for held in weddings}
    homes = {wedding: slot for wedding, slot in past.homes.items() if wedding in there}
    return replace(past, uneven_since_s=since_s, active=starts or (past.active and (off or uneven > STOP)), homes=homes)


def _one_is_empty(able: Sequence[Worker]) -> bool:
    """Whether one carries less than half of its share: among many workers a new one changes the mean too little to be seen."""
    mean = sum(worker.load for worker in able) / max(1e-9, sum(worker.weight for worker in able))
    return any(worker.load < mean * worker.weight / 2 for worker in able)


def _make_even(able: Sequence[Worker], weddings: Sequence[Held], past: Rebalancing, per_s: float) -> MovePlan | None:
    """From the fullest to the emptiest: a wedding that belongs there by its hash, else the largest that does not overshoot."""
    fullest = max(able, key=lambda w: (w.load / w.weight, w.slot))
    emptiest = min(able, key=lambda w: (w.load / w.weight, w.slot))
    room = (fullest.load - emptiest.load) / 2
    fitting = [h for h in weddings if not h.protected and 0 < h.at.get(fullest.slot, 0) <= room]
    # Whole weddings only: one that is mostly elsewhere is brought home, not moved on.
    fitting = [held for held in fitting if 2 * held.at[fullest.slot] > sum(held.at.values())]
    if not fitting:
        return None
    slots = _slots(able)
    best = max(
        fitting,
        key=lambda h: (first_choice(h.wedding, slots) == emptiest.slot, h.at[fullest.slot], h.wedding),
    )
    reason = f"{fullest.slot} carries {unevenness(able):.2f} times the mean"
    return MovePlan(best.wedding, fullest.slot, emptiest.slot, best.at[fullest.slot], per_s, reason)


def _bring_home(able: Sequence[Worker], weddings: Sequence[Held], past: Rebalancing, per_s: float) -> MovePlan | None:
    """The largest part of a wedding that is away from home, when home stays below the mark at which moving starts."""
    slots = _slots(able)
    loads = {worker.slot: worker.load for worker in able}
    total, weights = sum(loads.values()), sum(worker.weight for worker in able)
    marks = {worker.slot: START * total * worker.weight / weights for worker in able}
    best: MovePlan | None = None
    for held in weddings:
        home = past.homes.get(held.wedding) or first_choice(held.wedding, slots)
        away = [(sockets, slot) for slot, sockets in held.at.items() if slot != home and slot in loads and sockets]
        if held.protected or not away or home not in loads:
            continue
        sockets, source = max(away)
        if loads[home] + sum(n for n, _ in away) <= marks[home] and (best is None or sockets > best.sockets):
            best = MovePlan(held.wedding, source, home, sockets, per_s, f"{held.wedding} belongs on {home}")
    return best
