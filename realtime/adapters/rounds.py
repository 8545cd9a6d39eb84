"""Daphne's checks of its connections, a few at a time."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import daphne.server
from twisted.internet import reactor

STEP_S, ROUND_S = 0.05, 5.0
"""A round finds what takes long: handshakes, requests, connections to ping. Applications that have ended say so themselves."""
STEP_MAX = 200
"""At most so many in one turn of the loop, 1 ms, when thousands end together."""


class Rounds:
    """Daphne's checks of applications and timeouts, a few connections at a time, so that each has its turn every `ROUND_S`."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._waiting: deque[Any] = deque()
        self._count, self._more = 1, 0

    def soon(self, protocol: Any) -> None:
        """Look at this one in the next step."""
        self._waiting.appendleft(protocol)
        self._more += 1

    def step(self) -> None:
        connections, waiting = self._server.connections, self._waiting
        if not waiting:
            waiting.extend(connections)
            self._count = math.ceil(len(waiting) * STEP_S / ROUND_S)
        count = min(self._count + self._more, len(waiting), max(self._count, STEP_MAX))
        self._more = max(0, self._more - count)
        protocols = [waiting.popleft() for _ in range(count)]
        part = {protocol: connections[protocol] for protocol in protocols if protocol in connections}
        for protocol, details in part.items():
            if "disconnected" not in details:
                protocol.check_timeouts()
        view = _Part(self._server, part.copy())
        daphne.server.Server.application_checker(view)
        for protocol in part.keys() - view.connections.keys():
            connections.pop(protocol, None)
        reactor.callLater(STEP_S, self.step)


class _Part:
    """A server with only some of its connections, for Daphne's check of applications; it does not call itself again."""

    def __init__(self, server: Any, connections: dict[Any, Any]) -> None:
        self._server = server
        self.connections = connections
        self.application_checker = nothing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


def nothing() -> None:
    """In the place of what is not to be done."""
