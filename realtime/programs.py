"""Programs that published lately: with their tokens an emergency goes out while the database cannot be asked."""

from __future__ import annotations

import hashlib

from realtime.clock import Clock
from realtime.messages import Sender
from realtime.revoked import Revoked

REMEMBERED_S = 3_600.0
"""As long as a program that watches over a day may say nothing. A token that is withdrawn goes as fast as a member does."""
REMEMBERED_MAX = 1_000


class Programs:
    """Of one process. Only hashes of the tokens are kept; the one that published longest ago goes first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[Sender, float]] = {}

    def remember(self, room: str, token: str, program: Sender | None) -> None:
        """What the database said of `token` now; None: nobody's."""
        name = _name(room, token)
        self._known.pop(name, None)
        if program is not None:
            self._known[name] = program, self._clock.monotonic() + REMEMBERED_S
            if len(self._known) > REMEMBERED_MAX:
                del self._known[next(iter(self._known))]

    def known(self, room: str, token: str, revoked: Revoked) -> Sender | None:
        """Whose `token` was good lately, and was not withdrawn since."""
        program, until_s = self._known.get(_name(room, token), (None, 0.0))
        if program is None or self._clock.monotonic() >= until_s or (program.member, program.role) in revoked:
            return None
        return program


def _name(room: str, token: str) -> bytes:
    return hashlib.sha256(f"{room}/{token}".encode()).digest()
