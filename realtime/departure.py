"""How a worker leaves: told by the operator, the balancer, its supervisor, or by SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from realtime.leaving import Leaving
from realtime.report import Drain, Move
from realtime.services import Services

logger = logging.getLogger(__name__)

NOTICED_S = 2.5
"""A proxy in front hears of it by a report and a tick of the control loop, a second each: who is asked to go before that
would be sent back here."""
STOP_S = 15.0
"""For who has not taken the goodbye, when there is nowhere else."""
IDLE_S = 2.0
PARTS_S = 5.0


class Departure:
    """Of one process. `end()` ends it; `idle()` says whether no connection of any kind is left."""

    def __init__(self, parts: Services, end: Callable[[], None], idle: Callable[[], bool] = lambda: True) -> None:
        self._parts = parts
        self._end = end
        self._idle = idle
        self._leaving = Leaving(parts.hub, parts.clock, random.Random(), parts.resume)
        self._tasks: set[asyncio.Task[object]] = set()
        parts.obey = self.obey

    def obey(self, order: Drain | Move) -> None:
        """An order from the registry: the operator's, or the balancer's."""
        match order:
            case Drain(reason, deadline_s):
                self.leave(reason, deadline_s)
            case Move(room, reason, per_s):
                self._start(self._leaving.move(room, reason, per_s))

    def leave(self, reason: str, deadline_s: float, *, stop: bool = False) -> None:
        """Take nobody new, send everybody elsewhere, then end. `stop`: there is nowhere else. Who comes all the same is taken
        while there is a place to send it to, and told to come back later when there is none."""
        self._parts.stopping |= stop
        if self._parts.state != "draining":
            self._parts.state, self._parts.reason = "draining", reason
            self._start(self._leave(reason, deadline_s, stop))

    def stop(self) -> None:
        """SIGTERM to a process without a supervisor: everybody hears when to come back. The second one ends it at once."""
        if self._parts.state == "draining":
            self._end()
        else:
            self.leave("The server stops.", STOP_S, stop=True)

    async def _leave(self, reason: str, deadline_s: float, stop: bool) -> None:
        parts = self._parts
        try:
            if parts.config.address and not stop:
                await parts.clock.sleep(NOTICED_S)
            await (self._leaving.stop if stop else self._leaving.drain)(reason, deadline_s)
            until_s = parts.clock.monotonic() + min(IDLE_S, deadline_s)
            while not self._idle() and parts.clock.monotonic() < until_s:
                await parts.clock.sleep(0.05)
            await asyncio.wait_for(parts.stop(), PARTS_S)
        except Exception:
            logger.exception("leaving failed")
        finally:
            self._end()

    def _start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
