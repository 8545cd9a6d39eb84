"""Daphne's checks of its connections, a few at a time."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

import daphne.server
from twisted.internet import reactor

STEP_S, ROUND_S = 0.05, 5.0
"""A round finds what takes long: handshakes, requests, connections to ping. Applications that have ended say so themselves."""
STEP_MAX = 200
"""Of applications that have ended at most so many in one turn of the loop, 1 ms, when thousands end together."""


class Rounds:
    """Daphne's checks of applications and timeouts, a few connections at a time, so that each has its turn every `ROUND_S`.

    A protocol with a `quiet_until_s` (Daphne's clock) needs none before that moment: most connections of a large server. They
    are left out of the rounds until then: a look at each costs more than a dictionary of all.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._waiting: deque[Any] = deque()
        self._ended: deque[Any] = deque()
        self._quiet: dict[Any, float] = {}
        """{protocol: until when}."""
        self._steps_left = 0
        self._count = 1

    def soon(self, protocol: Any) -> None:
        """Its application has ended: look at this one in the next step."""
        self._ended.append(protocol)

    def gone(self, protocol: Any) -> None:
        """Its connection is lost: its application gets the time to end that Daphne gives it."""
        self._quiet.pop(protocol, None)

    def step(self) -> None:
        connections, waiting, ended = self._server.connections, self._waiting, self._ended
        now_s = time.time()  # noqa: TID251 - Daphne's clock
        if not self._steps_left:
            self._begin(now_s)
        self._steps_left -= 1
        protocols = [ended.popleft() for _ in range(min(STEP_MAX, len(ended)))]
        part = {protocol: connections[protocol] for protocol in protocols if protocol in connections}
        for _ in range(min(self._count, len(waiting))):
            protocol = waiting.popleft()
            details = connections.get(protocol)
            if details is None:
                continue
            until_s = getattr(protocol, "quiet_until_s", 0.0)
            if "disconnected" in details or until_s <= now_s:
                part[protocol] = details
            else:
                self._quiet[protocol] = until_s
        for protocol, details in part.items():
            if "disconnected" not in details:
                protocol.check_timeouts()
        if part:
            view = _Part(self._server, part.copy())
            daphne.server.Server.application_checker(view)
            for protocol in part.keys() - view.connections.keys():
                connections.pop(protocol, None)
        reactor.callLater(STEP_S, self.step)

    def _begin(self, now_s: float) -> None:
        """A round of all who are not quiet to its end."""
        connections, quiet = self._server.connections, self._quiet
        soon_s = now_s + ROUND_S
        for protocol in [protocol for protocol, until_s in quiet.items() if until_s <= soon_s or protocol not in connections]:
            del quiet[protocol]
        self._waiting.extend(connections.keys() - quiet.keys() if quiet else connections)
        self._steps_left = max(1, min(round(ROUND_S / STEP_S), len(connections)))
        self._count = math.ceil(len(self._waiting) / self._steps_left)


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
