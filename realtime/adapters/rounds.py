"""Daphne's checks of its connections, a few at a time."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import Any

import daphne.server
from twisted.internet import reactor

logger = logging.getLogger(__name__)

STEP_S, ROUND_S = 0.05, 5.0
"""A round finds what takes long: handshakes, requests, connections to ping. Applications that have ended say so themselves."""
STEPS = round(ROUND_S / STEP_S)
STEP_MAX = 200
"""Of applications that have ended at most so many in one turn of the loop, 1 ms, when thousands end together."""


class Rounds:
    """Daphne's checks of applications and timeouts, a few connections at a time, so that each has its turn every `ROUND_S`.

    A protocol with a `quiet_until_s` (monotonic) needs none before that moment: most connections of a large server. Each waits
    in the slot of the step in which its turn comes, so that nobody has to look for those whose turn it is.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._waiting: deque[Any] = deque(getattr(server, "connections", ()))
        """Whose turn has come."""
        self._ended: deque[Any] = deque()
        self._began_s = monotonic()
        self._step = 0
        self._slots: dict[int, dict[Any, None]] = {}
        """{step: who has a turn then}."""
        self._slot_of: dict[Any, int] = {}

    def soon(self, protocol: Any) -> None:
        """Its application has ended: look at this one in the next step."""
        self._ended.append(protocol)

    def came(self, protocol: Any) -> None:
        """A new connection."""
        self._place(protocol, ROUND_S)

    def gone(self, protocol: Any) -> None:
        """Its connection is lost: its application gets the time to end that Daphne gives it. Without one nothing is left."""
        self._forget(protocol)
        if "application_instance" in self._server.connections.get(protocol, ()):
            self._place(protocol, ROUND_S / 2)
        else:
            self.soon(protocol)

    def look(self, protocol: Any) -> None:
        """It was said to be quiet, and is so no longer: its turn is the next one."""
        self._forget(protocol)
        self._place(protocol, 0.0)

    def step(self) -> None:
        connections, ended = self._server.connections, self._ended
        protocols = [ended.popleft() for _ in range(min(STEP_MAX, len(ended)))]
        over = {protocol: connections[protocol] for protocol in protocols if protocol in connections}
        due = self._due(connections)
        part = over | due
        over |= {protocol: details for protocol, details in due.items() if "disconnected" in details}
        for protocol, details in part.items():
            if "disconnected" not in details:
                try:
                    protocol.check_timeouts()
                except Exception:  # the others, and the next step, do not wait for this one to be well
                    logger.exception("a connection could not be checked")
        if over:  # Daphne would find nothing to do for an application that runs and whose connection is open
            view = _Part(self._server, over.copy())
            daphne.server.Server.application_checker(view)
            for protocol in over.keys() - view.connections.keys():
                connections.pop(protocol, None)
                self._forget(protocol)
        now_s = monotonic()
        for protocol in part:
            if protocol not in self._slot_of and protocol in connections:
                self._place(protocol, _quiet_s(protocol, now_s) or ROUND_S)
        reactor.callLater(STEP_S, self.step)

    def _due(self, connections: dict[Any, Any]) -> dict[Any, Any]:
        """Those whose turn has come and who are not quiet."""
        before, waiting = self._step, self._waiting
        # By the clock: a loop that is late makes fewer steps, and nobody is to wait longer for that.
        now_s = monotonic()
        self._step = max(before + 1, int((now_s - self._began_s) / STEP_S))
        for step in range(before + 1, self._step + 1):
            waiting.extend(self._slots.pop(step, ()))
        most = math.ceil(max(len(connections), len(waiting)) * (self._step - before) / STEPS)
        due = {}
        while most and waiting:
            protocol = waiting.popleft()
            if self._slot_of.get(protocol, 0) > self._step:
                continue  # it has another turn by now
            self._slot_of.pop(protocol, None)
            details = connections.get(protocol)
            if details is None:
                continue
            most -= 1
            if "disconnected" not in details and (quiet_s := _quiet_s(protocol, now_s)):
                self._place(protocol, quiet_s)
            else:
                due[protocol] = details
        return due

    def _place(self, protocol: Any, seconds: float) -> None:
        """Its turn comes after so long."""
        step = self._step + max(1, math.ceil(seconds / STEP_S))
        self._slot_of[protocol] = step
        self._slots.setdefault(step, {})[protocol] = None

    def _forget(self, protocol: Any) -> None:
        """What is over is not to be kept until its turn comes."""
        slot = self._slots.get(self._slot_of.pop(protocol, 0))
        if slot is not None:
            slot.pop(protocol, None)


def _quiet_s(protocol: Any, now_s: float) -> float:
    """For how long it needs no look; 0.0: it does."""
    quiet_until_s: float = getattr(protocol, "quiet_until_s", 0.0)
    return max(0.0, quiet_until_s - now_s)


def monotonic() -> float:
    """Of this machine, as Twisted's timers: whoever sets Daphne's clock makes nobody quiet for a day."""
    return time.monotonic()  # noqa: TID251


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
