"""A client on its way to another process: a second connection is opened before the first one is closed. No I/O.

    asked --open_at_s--> opening --its `live`--> crossing --close_at_s--> arrived --forget_at_s--> over

While both are open a publication comes twice: a durable one is told by its offset, an ephemeral one by its id here.
"""

from __future__ import annotations

import math
import random
from enum import Enum, auto

from realtime.messages import Sender
from realtime.policy.backoff import reconnect_delay_s
from realtime.shown import Shown

SPREAD_S = 0.2
"""The server asks at a pace; this only keeps those that were asked in one turn apart."""
LINGER_S = 0.5
"""What the first connection has been given may come later on the second one, and the other way round: across processes
publications take milliseconds, a second when Redis is away and the journal is asked."""
ANSWERS_S = 2.0
"""So long the first connection stays for the answers to what was said on it."""
REMEMBER_S = 2.0
SHOWN_MAX = 2_000


class Stage(Enum):
    ASKED = auto()
    OPENING = auto()
    CROSSING = auto()
    ARRIVED = auto()


class Moving:
    """One move of one client."""

    def __init__(self, url: str, now_s: float, rng: random.Random) -> None:
        self.url = url
        self.stage = Stage.ASKED
        self.due_s = now_s + rng.uniform(0.0, SPREAD_S)
        self._shown = Shown(SHOWN_MAX)
        self._rng = rng
        self._attempt = 0
        self._answers_until_s = math.inf
        self.answered = False

    def is_new(self, sender: Sender, id: str) -> bool:
        """Whether this ephemeral publication has not come on the other connection. Server-made ones have no id."""
        return not id or self._shown.first_time(sender, id)

    def open_now(self, now_s: float) -> bool:
        """Whether to open the second connection now; asked once."""
        if self.stage is not Stage.ASKED or now_s < self.due_s:
            return False
        self.stage, self.due_s = Stage.OPENING, math.inf
        return True

    def failed(self, now_s: float) -> None:
        """There was no second connection: try again, the first one is as good as it was."""
        self.stage, self.due_s = Stage.ASKED, now_s + reconnect_delay_s(self._attempt, self._rng)
        self._attempt += 1

    def live(self, now_s: float) -> None:
        """The second connection is complete, and is the one from now on."""
        self.stage, self._answers_until_s, self.due_s = Stage.CROSSING, now_s + ANSWERS_S, now_s + LINGER_S

    def may_speak(self, waiting: int) -> bool:
        """Whether to say something now: not while answers to what was said before are to come on the first connection, or two
        processes could store it in another order. `waiting`: how many those are."""
        if self.stage is Stage.CROSSING and not waiting:
            self.answered = True
        return self.stage is not Stage.CROSSING or self.answered

    def close_now(self, now_s: float) -> bool:
        """Whether to close the first connection now."""
        if self.stage is not Stage.CROSSING or now_s < self.due_s:
            return False
        if not self.answered and now_s < self._answers_until_s:
            self.due_s = min(self._answers_until_s, now_s + LINGER_S / 10)
            return False
        return True

    def closed(self, now_s: float) -> None:
        """The first connection is gone."""
        self.stage, self.due_s = Stage.ARRIVED, now_s + REMEMBER_S
