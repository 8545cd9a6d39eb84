"""Daphne's checks of its connections, a few at a time."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import daphne.server
from twisted.internet import reactor

STEP_S, ROUND_S = 0.02, 2.0


class Rounds:
    """Daphne's checks of applications and timeouts, a few connections at a time, so that each has its turn every `ROUND_S`."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._waiting: deque[Any] = deque()
        self._count = 1

    def step(self) -> None:
        connections, waiting = self._server.connections, self._waiting
        if not waiting:
            waiting.extend(connections)
            self._count = math.ceil(len(waiting) * STEP_S / ROUND_S)
        protocols = [waiting.popleft() for _ in range(min(self._count, len(waiting)))]
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
