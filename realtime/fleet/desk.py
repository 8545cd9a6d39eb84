"""Who waits for whom at the dispatcher, and how the workers stand. No I/O: the dispatcher moves the sockets."""

from __future__ import annotations

import itertools
import math
import socket
from collections import deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from realtime.fleet.passing import GRACE_S, PASSES_MAX, Known, Seen, Standing, Status, Taken
from realtime.policy.balancing import Bound, Worker, place, shard, shards_in, slow_start
from realtime.policy.health import Said, judge

IN_FLIGHT_MAX = 64
"""Passes without an answer for each worker: enough that it never waits for the dispatcher, few enough to be taken within
`PASS_S` when all of them have to be welcomed. The others wait here, where they can still go elsewhere."""
WAITING_MAX = 8_000
"""Sockets that know where they want to go and are not taken yet; beyond it visitors are told to come back."""
PATIENCE_S = 10.0
"""A worker that died is back within 6 s; a client gives up its handshake after 10."""
RETURN_S = 10.0
"""The place of those a worker has lost is kept at least so long: after a storm they are back within 8 s (ops.md 5.2)."""
EMPTY_S = 3.0
"""A slot that took nobody for longer starts slowly when it is filled again: its process is a new one, and cold."""
STANDSTILL_S = 2.0
"""Between two looks at how the workers stand, four a second at least: so long we have stood still ourselves."""
NOWHERE = ""
"""The queue of those that wait until any worker takes somebody."""


@dataclass(slots=True, eq=False)
class Visitor:
    """A socket that was accepted and not given away yet."""

    sock: socket.SocketType
    address: str
    since_s: float
    wedding: str = ""
    role: str = ""
    """As it says; planners may exceed the bound a little."""
    id: int = 0
    until_s: float = 0.0


@dataclass(slots=True)
class _Queue:
    """One worker as the dispatcher sees it: what it said last, who waits for it, what was passed and not answered."""

    status: Status | None = None
    heard_s: float = 0.0
    waiting: deque[Visitor] = field(default_factory=deque)
    in_flight: dict[int, Visitor] = field(default_factory=dict)
    passed_total: int = 0
    late: bool = False
    """It let a pass run out, and has not been heard of since."""
    most: tuple[int, int] = (0, 0)
    """The most it has held, in the last whole window and since."""
    window_ends_s: float = 0.0

    @property
    def load(self) -> float:
        """Its sockets, each counted once wherever it is: a member, on its way in, passed and not counted there yet, waiting.

        What is left out for a moment makes the worker look empty, and in a storm every wedding is split by that. So is one that
        has noticed sooner than the others that everybody is gone: for a while a worker weighs what it has held.
        """
        status = self.status
        if status is None:
            return self.passed_total + len(self.waiting)
        on_the_way = self.passed_total - status.passes_total
        now = status.connections + status.arriving + (on_the_way if on_the_way > 0 else 0) + len(self.waiting)
        return max(now, *self.most)

    def keep(self, now_s: float) -> None:
        """It was heard of: remember the most that it has held for `RETURN_S` at least, twice as long at most."""
        assert self.status is not None
        if now_s >= self.window_ends_s:
            self.most, self.window_ends_s = (self.most[1], 0), now_s + RETURN_S
        self.most = self.most[0], max(self.most[1], self.status.connections + self.status.arriving)


class Desk:
    """Seats visitors. Names of processes are those the supervisor gave: "w1.1" is the first in slot w1."""

    def __init__(self) -> None:
        self.refused_total = 0
        self._again_total = 0
        self._passed_total = 0
        self._known = Known([], "")
        self._queues: dict[str, _Queue] = {NOWHERE: _Queue()}
        self._standings: dict[str, Standing] = {}
        self._judged_s = -1.0
        self._alive_s, self._awake_s = math.inf, -math.inf
        # {slot: (process, its queue, its weight now, why that is 0)}, {slot: since when and until when it took people}, and
        # where the balancer has put weddings that are not where their hash says.
        self._slots: dict[str, tuple[str, _Queue, float, str]] = {}
        self._filled_s: dict[str, tuple[float, float]] = {}
        self._bound = Bound()
        self._bound_s = -math.inf
        self._homes: dict[str, str] = {}
        self._shards: dict[str, int] = {}
        self._visitors = itertools.count()

    # -- visitors -----------------------------------------------------------------------------------------------------

    @property
    def n_waiting(self) -> int:
        n = 0
        for queue in self._queues.values():  # asked for each visitor: no generator
            n += len(queue.waiting) + len(queue.in_flight)
        return n

    @property
    def full(self) -> bool:
        return self.n_waiting >= WAITING_MAX

    def seat(self, visitor: Visitor, now_s: float) -> str:
        """Put the visitor into a queue; returns whose."""
        name = self._choose(visitor.wedding, visitor.role, now_s)
        self._queues[name].waiting.append(visitor)
        return name

    def _choose(self, wedding: str, role: str, now_s: float) -> str:
        if not wedding:
            return next((name for name in reversed(self._known.pages) if self._shows_pages(name)), NOWHERE)
        self._stand(now_s)
        workers = [Worker(slot, queue.load, weight, reason) for slot, (_, queue, weight, reason) in self._slots.items()]
        key = shard(wedding, next(self._visitors) % n) if (n := self._shards.get(wedding)) else wedding
        placed = place(key, role, workers, home=self._homes.get(key, ""), bound=self._bound.value)
        return self._slots[placed.worker][0] if placed.worker else NOWHERE

    def _shows_pages(self, name: str) -> bool:
        web = self._queues.get(name)
        return web is not None and web.status is not None and not web.late and name not in self._known.stopping

    def next_for(self, name: str) -> list[Visitor]:
        """Those to be passed to `name` with one message now, oldest first; answered with `passed` or `not_passed`."""
        queue = self._queues.get(name)
        if not name or queue is None:
            return []
        waiting = queue.waiting
        return [waiting.popleft() for _ in range(min(PASSES_MAX, len(waiting), IN_FLIGHT_MAX - len(queue.in_flight)))]

    def passed(self, name: str, visitors: list[Visitor]) -> None:
        queue = self._queues[name]
        for visitor in visitors:
            queue.in_flight[visitor.id] = visitor
        queue.passed_total += len(visitors)
        self._passed_total += len(visitors)

    def not_passed(self, name: str, visitors: list[Visitor]) -> None:
        """The worker reads nothing: nobody else goes there until it is heard of, and the visitors go elsewhere."""
        self._queues[name].late, self._judged_s = True, -1.0
        self._queues[NOWHERE].waiting += visitors

    def taken(self, name: str, taken: Taken) -> list[Visitor]:
        """The worker has these. Who is missing was passed again: that came too late."""
        in_flight = self._queues[name].in_flight
        return [in_flight.pop(id) for id in range(taken.id, taken.id + taken.count) if id in in_flight]

    def overdue(self, now_s: float) -> list[Visitor]:
        """Those that were not taken in time, and those that have no queue while there is one: to be seated again."""
        found: list[Visitor] = []
        for queue in self._queues.values():
            late = [v for v in queue.in_flight.values() if v.until_s + GRACE_S < now_s]
            for visitor in late:
                del queue.in_flight[visitor.id]
            if late:
                queue.late, self._judged_s = True, -1.0
                queue.passed_total -= len(late)
                self._again_total += len(late)
            found += late
        for name, queue in self._queues.items():
            if queue.waiting and (name in (NOWHERE, *self._known.stopping) or queue.late or self._lame(name, now_s)):
                found += queue.waiting
                queue.waiting = deque()
        return found

    def out_of_patience(self, now_s: float) -> list[Visitor]:
        """Those that have waited for any worker too long."""
        queue = self._queues[NOWHERE]
        tired = [visitor for visitor in queue.waiting if visitor.since_s + PATIENCE_S < now_s]
        queue.waiting = deque(visitor for visitor in queue.waiting if visitor.since_s + PATIENCE_S >= now_s)
        return tired

    # -- workers ------------------------------------------------------------------------------------------------------

    def know(self, known: Known) -> list[Visitor]:
        """These are the processes now. Returns those that waited for one that is no more."""
        self._known, self._judged_s = known, -1.0
        for name in (*known.workers, *known.pages):
            self._queues.setdefault(name, _Queue())
        gone = self._queues.keys() - {*known.workers, *known.pages, NOWHERE}
        return [visitor for name in gone for visitor in self.gone(name)]

    def gone(self, name: str) -> list[Visitor]:
        """It has ended. Returns who waited for it; what it had been passed it cannot serve any more."""
        self._judged_s = -1.0
        self._standings.pop(name, None)
        queue = self._queues.pop(name, None)
        return [*queue.waiting, *queue.in_flight.values()] if queue is not None else []

    def heard(self, name: str, status: Status, now_s: float) -> None:
        queue = self._queues.get(name)
        if queue is not None:
            if queue.status is None:  # what an earlier dispatcher has passed to it is counted already
                queue.passed_total += status.passes_total
            changed = queue.late or queue.status is None or queue.status.state != status.state
            queue.status, queue.heard_s, queue.late = status, now_s, False
            queue.keep(now_s)
            if changed:
                self._judged_s = -1.0

    def ready(self, now_s: float) -> bool:
        """Whether any worker takes new sockets."""
        return any(standing.state == "ready" for standing in self._stand(now_s).values())

    def _lame(self, name: str, now_s: float) -> bool:
        standing = self._stand(now_s).get(name)
        return standing is not None and standing.state != "ready"

    def _silent_s(self, queue: _Queue, now_s: float) -> float:
        """Since it was heard of last, or could be: after a standstill of our own what they said is still in the sockets."""
        return now_s - max(queue.heard_s, self._awake_s)

    def _stand(self, now_s: float) -> dict[str, Standing]:
        """How the workers stand; judged again every 50 ms, not for each socket."""
        if now_s - self._judged_s >= 0.05 or self._judged_s < 0:
            if now_s - self._alive_s > STANDSTILL_S:
                self._awake_s = now_s
            self._alive_s = self._judged_s = now_s
            said = {
                name: Said(q.status.worker, q.status.state, q.status.reason, self._silent_s(q, now_s), q.status.canaries)
                for name in self._known.workers
                if (q := self._queues.get(name)) is not None and q.status is not None
            }
            judged = judge(said)
            self._standings = {}
            for name in self._known.workers:
                queue = self._queues.get(name) or _Queue()
                state, reason = judged.get(name, ("starting", "not heard of yet"))
                if name in self._known.stopping and state in ("ready", "starting"):
                    state, reason = "draining", "it is being replaced"
                silent_s = self._silent_s(queue, now_s) if queue.status is not None else 0.0
                self._standings[name] = Standing(state, reason, queue.status, silent_s)
            self._fill_slots(now_s)
        return self._standings

    def _fill_slots(self, now_s: float) -> None:
        """Who takes people in each slot. One that is replaced while it serves is not slow to start: its weddings stay."""
        self._slots = {}
        for name, standing in self._standings.items():
            queue, slot = self._queues.get(name), name.rpartition(".")[0]
            if queue is None:
                continue
            if standing.state == "ready" and not queue.late:
                since_s, last_s = self._filled_s.get(slot, (now_s, now_s))
                since_s = since_s if now_s - last_s < EMPTY_S else now_s
                self._filled_s[slot] = (since_s, now_s)
                self._slots[slot] = (name, queue, slow_start(now_s - since_s), "")
            else:
                self._slots.setdefault(slot, (name, queue, 0.0, "drain" if standing.state == "draining" else standing.reason))
        if now_s - self._bound_s >= 1.0:
            self._bound_s = now_s
            self._bound.step([Worker(slot, queue.load, weight) for slot, (_, queue, weight, _) in self._slots.items()])

    def settle(self, homes: dict[str, str]) -> None:
        """{wedding: slot}: where the balancer wants these from now on. The visitors of one with shards go to these in turn."""
        self._homes, self._shards = homes, shards_in(homes)

    def seen(self, now_s: float, cpu_s: float) -> Seen:
        standings, totals = self._stand(now_s), (self._passed_total, self._again_total, self.refused_total)
        heard = [name for name, queue in self._queues.items() if queue.status is not None]
        web = self._queues.get(self._known.web)
        silent_s = self._silent_s(web, now_s) if web is not None and web.status is not None else 0.0
        # Without the canaries, which are judged already: of many workers they would not fit into one message.
        standings = {n: replace(s, status=replace(s.status, canaries={})) if s.status else s for n, s in standings.items()}
        return Seen(standings, heard, self.n_waiting, *totals, cpu_s, silent_s)
