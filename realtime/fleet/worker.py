"""What a process of the fleet does beside serving: it says how it is, and leaves politely when it is told to."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from realtime.fleet.passing import Leave, Status
from realtime.leaving import Leaving
from realtime.report import Drain, Move
from realtime.services import Services

logger = logging.getLogger(__name__)

STATUS_S = 0.25


class Porter(Protocol):
    """The end of the pair (`realtime.adapters.daphne_worker`)."""

    passes_total: int

    def say(self, status: Status) -> None:
        """Tell the dispatcher."""


class FleetWorker:
    """One of the processes. `end()` ends it; `idle()` says whether no connection of any kind is left."""

    def __init__(self, parts: Services, end: Callable[[], None], idle: Callable[[], bool]) -> None:
        self._parts = parts
        self._end = end
        self._idle = idle
        self._leaving = Leaving(parts.hub, parts.clock, random.Random())
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self, porter: Porter) -> None:
        """Start the parts, then say how they are, for as long as the process lives."""
        parts = self._parts
        await parts.start()
        parts.obey = self.obey
        while True:
            porter.say(self.status(porter.passes_total))
            await parts.clock.sleep(STATUS_S)

    def status(self, passes_total: int) -> Status:
        parts, rooms = self._parts, self._parts.hub.rooms.values()
        held = [room.n_members for room in rooms]
        parts.hub.crowd = (sum(held), len(parts.canaries.of_others()))
        pid = int(parts.hub.process.rsplit(".", 2)[1])
        weddings = sum(1 for n_members in held if n_members)
        return Status(
            worker=parts.hub.process,
            pid=pid,
            state=parts.state,
            reason=parts.reason,
            connections=sum(held),
            weddings=weddings,
            passes_total=passes_total,
            canaries=parts.canaries.heard(),
            arriving=parts.arriving,
        )

    def leave(self, order: Leave) -> None:
        """An order of the supervisor."""
        if self._parts.state != "draining":
            self._parts.state, self._parts.reason = "draining", order.reason
            self._start(self._leave(order))

    def obey(self, order: Drain | Move) -> None:
        """An order from the registry: the operator's, or the balancer's."""
        match order:
            case Drain(reason, deadline_s):
                self.leave(Leave(reason, deadline_s))
            case Move(room, reason, per_s):
                self._start(self._leaving.move(room, reason, per_s))

    async def _leave(self, order: Leave) -> None:
        parts = self._parts
        try:
            carry_out = self._leaving.stop if order.stop else self._leaving.drain
            await carry_out(order.reason, order.deadline_s)
            until_s = parts.clock.monotonic() + min(2.0, order.deadline_s)
            while not self._idle() and parts.clock.monotonic() < until_s:
                await parts.clock.sleep(0.05)
            await asyncio.wait_for(parts.stop(), 5.0)
        except Exception:
            logger.exception("leaving failed")
        finally:
            self._end()

    def _start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
