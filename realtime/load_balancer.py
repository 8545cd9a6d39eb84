"""Which worker holds this wedding? A thin shell around `realtime.policy.balancing` and `realtime.policy.rebalancing`."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from realtime.errors import RegistryUnavailable
from realtime.policy.balancing import Bound, Placement, Server, Worker, first_choice, place, plan_homes, shard, shards_of
from realtime.policy.fleet_load import as_held, as_workers
from realtime.policy.rebalancing import Held, MovePlan, Rebalancing, rebalance, settle
from realtime.ports import Front, Registry
from realtime.report import Drain, Move, WorkerReport

logger = logging.getLogger(__name__)

CAPACITY = 2_000.0
"""Until `drill calibrate` has said better (ops.md 2.4)."""


class RealtimeLoadBalancer:
    """Knows the workers by their reports, and moves whole weddings between them. Never starts or stops workers."""

    def __init__(self, registry: Registry, front: Front, capacity: float = CAPACITY) -> None:
        """`capacity`: people one worker carries."""
        self._registry, self._front, self._capacity = registry, front, capacity
        self._past = Rebalancing()
        self._bound = Bound()
        self._reports: Sequence[WorkerReport] = ()
        self._workers: list[Worker] = []
        self._moving_until_s = 0.0
        self._now_s = 0.0
        self._planned: dict[str, str] = {}
        self._planned_for: tuple[object, ...] = ()
        self._shards: dict[str, int] = {}
        self._there: set[str] = set()

    @property
    def homes(self) -> dict[str, str]:
        """{wedding: slot} of those that are not where their hash says, and {shard: slot} of the very large ones."""
        return self._planned | dict(self._past.homes)

    @property
    def bound(self) -> float:
        """How much more than its share a worker may hold now."""
        return self._bound.value

    @property
    def moving(self) -> bool:
        """Whether people are on their way, or will be because loads are uneven."""
        return self._past.active or self._moving_until_s > self._now_s

    def place(self, wedding: str, role: str = "guest") -> Placement:
        """Where one more member of `wedding` would go, and why."""
        return place(wedding, role, self._workers, home=self.homes.get(wedding, ""), bound=self.bound)

    async def drain(self, worker: str, reason: str, deadline_s: float = 60.0) -> None:
        """Ask a worker to take nobody, to send its people elsewhere and to end."""
        await self._registry.order(worker, Drain(reason, deadline_s))

    async def rebalance(
        self,
        reports: Sequence[WorkerReport],
        protected: Container[str],
        now: datetime,
        expected: Mapping[str, int] | None = None,
    ) -> list[MovePlan]:
        """Look at the workers; arrange what stands in front of them; begin the next move when one is due.

        `protected`: weddings that stay where they are. `expected`: {wedding: people at its peak}, from the calendar: homes are
        planned before anybody comes, so that weddings stay whole. A front or registry out of reach is logged, and asked again.
        """
        now_s = self._now_s = now.timestamp()
        self._reports, self._workers = reports, as_workers(reports)
        self._bound.step(self._workers)
        held = as_held(reports, protected)
        self._plan(held, expected or {})
        whole = [one for one in held if one.wedding not in self._shards]
        self._past = settle(self._workers, whole, self._past, now_s, hashes_alike=self._front.hashes_alike)
        held = [replace(one, protected=one.protected or one.wedding in self._shards) for one in held]  # split on purpose
        moves, past = rebalance(self._workers, held, self._past, now_s)
        servers = [Server(r.slot, r.address, w.weight) for r, w in zip(reports, self._workers, strict=True)]
        try:
            await self._front.arrange(servers, self._planned | dict(past.homes))  # before anybody comes back
            for move in moves:
                worker = next(report.worker for report in reports if report.slot == move.source)
                await self._registry.order(worker, Move(move.wedding, move.reason, move.per_s))
        except (OSError, RegistryUnavailable) as error:  # nothing was moved then: the plan is made again, on newer reports
            logger.warning("the workers could not be arranged: %s", error)
            return []
        except Exception:
            logger.exception("the workers could not be arranged")
            return []
        self._past = past
        if moves:
            self._moving_until_s = past.next_s
        return moves

    def _plan(self, held: Sequence[Held], expected: Mapping[str, int]) -> None:
        """Homes for weddings of which nobody is there yet; planned again when workers or the calendar change. A plan becomes
        the wedding's home with its first member."""
        there = {one.wedding for one in held}
        came = {wedding: slot for wedding, slot in self._planned.items() if wedding in there - self._there}
        self._past = replace(self._past, homes=came | dict(self._past.homes))
        self._there = there
        slots = tuple(sorted(worker.slot for worker in self._workers if worker.weight > 0))
        sizes = {one.wedding: sum(one.at.values()) for one in held}
        sizes |= {wedding: max(n, sizes.get(wedding, 0)) for wedding, n in expected.items()}
        grown = {wedding: n for wedding, size in sizes.items() if (n := shards_of(size, self._capacity)) > 1}
        self._shards = {w: max(n, grown.get(w, 1)) for w, n in (grown | self._shards).items() if w in sizes}
        if self._planned_for != (slots, frozenset(expected), self._shards):
            self._planned_for = (slots, frozenset(expected), self._shards)
            self._planned = self._homes_of(held, sizes, slots)
        self._planned = {wedding: slot for wedding, slot in self._planned.items() if wedding not in there}

    def _homes_of(self, held: Sequence[Held], sizes: Mapping[str, int], slots: tuple[str, ...]) -> dict[str, str]:
        """Homes for all weddings; each shard of the very large ones has one, and is named also where the hash says so."""
        keys = {shard(wedding, n): sizes[wedding] // of for wedding, of in self._shards.items() for n in range(of)}
        whole = {wedding: n for wedding, n in sizes.items() if wedding not in self._shards}
        busy = {one.wedding: max(one.at, key=one.at.__getitem__) for one in held if one.wedding in whole}
        planned = plan_homes(whole | keys, slots, busy)
        named = keys if self._front.hashes_alike else whole | keys
        return planned | {key: planned.get(key) or first_choice(key, slots) for key in named if slots}
