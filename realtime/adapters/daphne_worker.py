"""A worker of the fleet: Daphne without a port of its own. Its sockets are passed to it, its orders come the same way."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Protocol

from daphne.server import Server
from twisted.internet import reactor

from realtime.adapters.adopting import adopt
from realtime.clock import Clock
from realtime.fleet import passing
from realtime.fleet.passing import Leave, Pass, Status, Taken

logger = logging.getLogger(__name__)

MESSAGE_MAX_BYTES = 131_072
"""Twice what a planner may say at once; Daphne's own limit is 1 MiB."""


class FleetServer(Server):  # type: ignore[misc]  # Daphne has no types
    """Daphne on sockets that were accepted by the dispatcher."""

    def __init__(self, application: Any) -> None:
        super().__init__(
            application,
            endpoints=["none"],
            signal_handlers=False,
            verbosity=0,
            websocket_max_message_size=MESSAGE_MAX_BYTES,
            websocket_max_frame_size=MESSAGE_MAX_BYTES,
            websocket_handshake_timeout=10,
        )
        self.endpoints: list[str] = []
        self.connections: dict[Any, dict[str, Any]] = {}

    def kill_all_applications(self) -> Any:
        """Daphne's looks for applications that have ended already."""
        self.connections = {p: details for p, details in self.connections.items() if "application_instance" in details}
        return super().kill_all_applications()

    def adopt(self, fd: int) -> None:
        """Serve this connected socket. `fd` is used up in any case."""
        try:
            adopt(fd, self)
        except OSError as error:  # it went away while it was on its way to us
            logger.debug("a socket could not be adopted: %r", error)
        except Exception:  # those that came with it are ours, too, and wait
            logger.exception("a socket could not be adopted")


class Porter:
    """The worker's end of the pair: takes passes and orders, and tells the dispatcher how this worker is."""

    def __init__(self, end: socket.socket, clock: Clock, adopt: Callable[[int], None], leave: Callable[[Leave], None]) -> None:
        self.passes_total = 0
        self._end = end
        self._clock = clock
        self._adopt = adopt
        self._leave = leave

    def say(self, status: Status) -> None:
        """Best effort: the next one comes in a moment."""
        passing.send(self._end, status)

    def hear(self) -> None:
        """Called when there is something to read, in the next turn again when there is more: a storm must not keep those
        who are here waiting."""
        heard = passing.receive(self._end)
        if heard == "nothing":
            return
        if heard == "closed":
            os._exit(1)  # without a supervisor nobody would ever end this process
        match heard[0]:
            case Pass() as offered:
                self._take(offered)
            case Leave() as order:
                self._leave(order)

    def _take(self, offered: Pass) -> None:
        """Say it, look at the clock again, adopt: realtime/fleet/passing.py says why in this order."""
        id, fds = offered.id, offered.fds
        if not fds:
            return  # nothing taken: in a moment they are passed to somebody else
        if self._in_time(offered) and passing.send(self._end, Taken(id, len(fds))) and self._in_time(offered):
            self.passes_total += len(fds)
            for fd in fds:
                self._adopt(fd)
        else:
            for fd in fds:
                os.close(fd)

    def _in_time(self, offered: Pass) -> bool:
        return self._clock.monotonic() < offered.until_s


class Member(Protocol):
    """What runs beside the server (`realtime.fleet.worker.FleetWorker`)."""

    async def run(self, porter: Porter) -> None: ...
    def leave(self, order: Leave) -> None: ...


def serve(application: Any, fd: int, clock: Clock, member: Callable[[Callable[[], None], Callable[[], bool]], Member]) -> None:
    """Run until the process ends. `member(stop, idle)` makes what runs with it; `idle()`: no connection is left."""
    end, server = passing.inherited(fd), FleetServer(application)
    beside = member(stop, lambda: not server.connections)
    porter = Porter(end, clock, server.adopt, beside.leave)
    loop = reactor._asyncioEventloop
    tasks: list[Any] = []

    def begin() -> None:
        loop.add_reader(end.fileno(), porter.hear)
        tasks.append(loop.create_task(beside.run(porter)))

    reactor.callWhenRunning(begin)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C goes to all of us; the supervisor decides who ends when
    server.run()


def stop() -> None:
    """End the loop of this process."""
    if reactor.running:
        reactor.stop()
