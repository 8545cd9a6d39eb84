"""How do I tune this one process now? PURE: a reading in, a tuning out, with a reason for each change."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

BUSY_UP = 0.92
"""Above this share of a core, publications wait for each other: every buffer and call that is saved is capacity."""
BUSY_DOWN = 0.84
"""Below it the window shrinks. The distance to BUSY_UP keeps the window from swinging with the load it removes."""
WINDOW_FIRST_S = 0.004
WINDOW_MAX_S = 0.050
"""The window's share of the 100 ms: a publication waits for it once, and up to half as long for the flushes of other rooms."""
GROWTH = 1.5
RING_MAX = 100


class Reading(Struct, frozen=True):
    """Measured over the last interval. `busy`: CPU time of this process per elapsed time, 1.0 is a whole core."""

    busy: float


class Tuning(Struct, frozen=True):
    """What the process does from now on. `window_s`: publications of a room within it leave together; 0 at once."""

    window_s: float = 0.0
    reason: str = "idle"


class RealtimePerformanceOptimizer:
    """Keeps the current tuning and the last changes with their reasons, for the dashboard."""

    def __init__(self) -> None:
        self.tuning = Tuning()
        self.changes: deque[tuple[float, Tuning]] = deque(maxlen=RING_MAX)

    def step(self, reading: Reading | None, now_s: float) -> Tuning:
        """The tuning for the next interval. Without a reading nothing changes."""
        if reading is None:
            return self.tuning
        window_s, busy = self.tuning.window_s, reading.busy
        if busy > BUSY_UP and window_s < WINDOW_MAX_S:
            wanted = Tuning(min(WINDOW_MAX_S, max(WINDOW_FIRST_S, window_s * GROWTH)), f"busy {busy:.0%}: join more")
        elif busy < BUSY_DOWN and window_s > 0:
            smaller_s = window_s / GROWTH
            wanted = Tuning(smaller_s if smaller_s >= WINDOW_FIRST_S else 0.0, f"busy {busy:.0%}: join less")
        else:
            return self.tuning
        self.tuning = wanted
        self.changes.append((now_s, wanted))
        return wanted
