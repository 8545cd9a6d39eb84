"""What a process of the fleet does beside serving: it says how it is, and leaves politely when it is told to."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Callable
from typing import Protocol

from realtime.departure import Departure
from realtime.fleet.passing import Leave, Status
from realtime.policy.files import short_of_files
from realtime.roles import OPS
from realtime.services import Services

logger = logging.getLogger(__name__)

STATUS_S = 0.25


class Porter(Protocol):
    """The end of the pair (`realtime.adapters.daphne_worker`)."""

    passes_total: int

    def say(self, status: Status) -> None:
        """Tell the dispatcher."""


def open_files() -> int | None:
    """How many descriptors this process has open, None where the kernel does not say (proc(5))."""
    try:
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))  # Linux counts for us since 6.2
    except OSError:
        return None


class FleetWorker:
    """One of the processes. `end()` ends it; `idle()` says whether no connection of any kind is left."""

    def __init__(self, parts: Services, end: Callable[[], None], idle: Callable[[], bool]) -> None:
        self._parts = parts
        self._departure = Departure(parts, end, idle)
        self._full = False

    async def run(self, porter: Porter) -> None:
        """Start the parts, then say how they are, for as long as the process lives."""
        parts = self._parts
        await parts.start()
        while True:
            self._check_files()
            porter.say(self.status(porter.passes_total))
            await parts.clock.sleep(STATUS_S)

    def _check_files(self) -> None:
        """Say so before there are none left: whoever is here stays, newcomers are better off elsewhere."""
        parts, why = self._parts, short_of_files(open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if why and parts.state == "ready":
            parts.state, self._full = "lame", True
            logger.warning("nobody else is taken: %s", why)
        elif not why and self._full and parts.state == "lame":
            parts.state, parts.reason, self._full = "ready", "", False
            logger.warning("newcomers are taken again")
        if self._full and parts.state == "lame":
            parts.reason = why

    def status(self, passes_total: int) -> Status:
        parts = self._parts
        n_members = sum(parts.hub.measures.connections.values())
        weddings = sum(1 for room in parts.hub.rooms.values() if room.n_members and room.name != OPS)
        parts.hub.crowd = (n_members, len(parts.canaries.of_others()))
        pid = int(parts.hub.process.rsplit(".", 2)[1])
        return Status(
            worker=parts.hub.process,
            pid=pid,
            state=parts.state,
            reason=parts.reason,
            connections=n_members,
            weddings=weddings,
            passes_total=passes_total,
            canaries=parts.canaries.heard(),
            arriving=parts.arriving,
        )

    def leave(self, order: Leave) -> None:
        """An order of the supervisor."""
        self._departure.leave(order.reason, order.deadline_s, stop=order.stop)
