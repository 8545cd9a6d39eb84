"""How do I tune this one process now? PURE: a reading in, a tuning out, with a reason for each change."""

from __future__ import annotations

from collections import deque

import msgspec
from msgspec import Struct

from realtime.policy.shedding import LEVEL_MAX, LEVELS

BUSY_UP = 0.92
"""Above this share of a core, publications wait for each other: every buffer and call that is saved is capacity."""
BUSY_DOWN = 0.84
"""Below it the window shrinks. The distance to BUSY_UP keeps the window from swinging with the load it removes."""
BUSY_LATE = 0.3
"""A loop that is late while its process has more than this share works as fast as it is let: where others share the core, or a
container has a part of one, a process with too much to do never reaches BUSY_UP."""
WINDOW_FIRST_S = 0.004
WINDOW_MAX_S = 0.050
"""The window's share of the 100 ms: a publication waits for it once, and up to half as long for the flushes of other rooms."""
GROWTH = 1.5
BUSY_COMPRESS = 2
"""Times the threshold of compression while busy: small texts save the least and cost the most for a byte. From half a kilobyte
on compressing once for a whole room is cheap, and a busy server is no reason to send a guest twice the bytes."""
LAG_UP_S = 0.060
"""A loop that is late by so much leaves an urgent message too little of its 100 ms: work is shed."""
LAG_DOWN_S = 0.020
BACKLOG_UP_S, BACKLOG_DOWN_S = 0.25, 0.1
"""A quarter of a second of chat that waits for the journal is more than it gets through; a tenth comes with every burst."""
BACKLOG_FAR_S = 0.5
"""So far behind, the last step is taken at once: those before it shed nothing that the journal stores."""
SHED_AFTER_S, CALM_AFTER_S = 0.3, 3.0
"""A lag must last before anything is shed, and calm ten times as long before it is allowed again: load comes back in waves."""
RELAPSE_S, CALM_MAX_S = 10.0, 30.0
"""Strained again so soon after a step down: the load is still there, and the next step down waits twice as long."""
EMERGENCY_S = 1.0
"""After the last emergency; its acknowledgements and the questions that follow it are about as urgent."""
RING_MAX = 100


class Reading(Struct, frozen=True):
    """Measured over the last interval. `busy`: CPU time of this process per elapsed time, 1.0 is a whole core. `lag_s`: the
    longest time the loop was late. `outbox_bytes`: waiting for members that are behind. `backlog_s`: how long the oldest
    publication has waited for the journal. `emergency`: one was published."""

    busy: float
    lag_s: float = 0.0
    outbox_bytes: int = 0
    backlog_s: float = 0.0
    emergency: bool = False


class Tuning(Struct, frozen=True):
    """What the process does from now on. `window_s`: publications of a room within it leave together; 0 at once.
    `shed_level`: see `realtime.policy.shedding`. `emergency`: ephemeral publications wait a little."""

    window_s: float = 0.0
    compress_over_bytes: int = 0
    shed_level: int = 0
    emergency: bool = False
    reason: str = "idle"


class RealtimePerformanceOptimizer:
    """Keeps the current tuning and the last changes with their reasons, for the dashboard."""

    def __init__(self, compress_over_bytes: int = 256, outbox_max_bytes: int = 268_435_456) -> None:
        self._compress_over_bytes = compress_over_bytes
        self._outbox_max_bytes = outbox_max_bytes
        self.tuning = Tuning(compress_over_bytes=compress_over_bytes)
        self.changes: deque[tuple[float, Tuning]] = deque(maxlen=RING_MAX)
        self._strained_since_s: float | None = None
        self._calm_since_s: float | None = None
        self._calm_after_s = CALM_AFTER_S
        self._eased_s = -RELAPSE_S
        self._emergency_until_s = 0.0

    def step(self, reading: Reading | None, now_s: float) -> Tuning:
        """The tuning for the next interval. Without a reading nothing changes."""
        if reading is None:
            return self.tuning
        for change in (self._window(reading), self._shed(reading, now_s), self._emergency(reading, now_s)):
            if change is not None:
                self.tuning = change
                self.changes.append((now_s, change))
        return self.tuning

    def _window(self, reading: Reading) -> Tuning | None:
        window_s, busy = self.tuning.window_s, reading.busy
        starved = busy > BUSY_LATE and reading.lag_s > LAG_DOWN_S
        if (busy > BUSY_UP or starved) and window_s < WINDOW_MAX_S:
            larger_s = min(WINDOW_MAX_S, max(WINDOW_FIRST_S, window_s * GROWTH))
            over_bytes = self._compress_over_bytes * BUSY_COMPRESS
            return self._changed(f"busy {busy:.0%}: join more", window_s=larger_s, compress_over_bytes=over_bytes)
        if busy < BUSY_DOWN and window_s > 0 and not starved:
            smaller_s = window_s / GROWTH if window_s / GROWTH >= WINDOW_FIRST_S else 0.0
            over_bytes = self._compress_over_bytes * (BUSY_COMPRESS if smaller_s else 1)
            return self._changed(f"busy {busy:.0%}: join less", window_s=smaller_s, compress_over_bytes=over_bytes)
        return None

    def _shed(self, reading: Reading, now_s: float) -> Tuning | None:
        level, full = self.tuning.shed_level, reading.outbox_bytes > self._outbox_max_bytes
        # A late loop alone is no overload: a slow disk or a stopped machine are not helped by shedding.
        late = reading.lag_s > LAG_UP_S and reading.busy > BUSY_UP
        strained = full or late or reading.backlog_s > BACKLOG_UP_S
        calm = (
            reading.lag_s < LAG_DOWN_S
            and reading.backlog_s < BACKLOG_DOWN_S
            and reading.outbox_bytes < self._outbox_max_bytes // 2
        )
        self._strained_since_s = (self._strained_since_s if self._strained_since_s is not None else now_s) if strained else None
        self._calm_since_s = (self._calm_since_s if self._calm_since_s is not None else now_s) if calm else None
        if strained and level < LEVEL_MAX and now_s - (self._strained_since_s or 0.0) >= SHED_AFTER_S:
            self._strained_since_s = now_s
            relapse = now_s - self._eased_s < RELAPSE_S
            self._calm_after_s = min(CALM_MAX_S, self._calm_after_s * 2) if relapse else CALM_AFTER_S
            higher = LEVEL_MAX if reading.backlog_s > BACKLOG_FAR_S else level + 1
            why = f"{reading.outbox_bytes >> 20} MiB wait" if full else f"late by {reading.lag_s * 1_000:.0f} ms"
            if not full and not late:
                why = f"{reading.backlog_s:.1f} s behind with the journal"
            return self._changed(f"{why}: shed {LEVELS[higher]}", shed_level=higher)
        if calm and level and now_s - (self._calm_since_s or 0.0) >= self._calm_after_s:
            self._calm_since_s = self._eased_s = now_s
            return self._changed(f"calm: shed {LEVELS[level - 1] or 'nothing'}", shed_level=level - 1)
        return None

    def _emergency(self, reading: Reading, now_s: float) -> Tuning | None:
        if reading.emergency:
            self._emergency_until_s = now_s + EMERGENCY_S
        active = now_s < self._emergency_until_s
        if active == self.tuning.emergency:
            return None
        return self._changed("an emergency: what is ephemeral waits" if active else "no emergency", emergency=active)

    def _changed(self, reason: str, **changes: object) -> Tuning:
        return msgspec.structs.replace(self.tuning, reason=reason, **changes)
