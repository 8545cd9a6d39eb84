"""When what a room has taken leaves for its members: at once, joined under load, in slices where they are many."""

from __future__ import annotations

import asyncio

from realtime.clock import Clock
from realtime.kinds import Priority
from realtime.performance_optimizer import Tuning
from realtime.room import HeldRoom

LIGHT_WINDOW_S = 0.25
"""Those who are served sparingly get what is not urgent in portions: half of what P3 is promised (ops.md 4.3)."""
SOON_WINDOW_S = 0.01
"""What is urgent (P1) waits no longer than this for company, whatever the load: the journal has had its share of the 100 ms."""
EMERGENCY_WINDOW_S = 0.05
"""While emergencies are about, ephemeral publications wait for each other so long: they then cost next to nothing."""


class Flushing:
    """The timers of all rooms of a process; on its loop."""

    def __init__(self, clock: Clock) -> None:
        self.tuning = Tuning()
        self._clock = clock
        # Rooms with an emergency on its way through the slices, and those whose ephemeral publications wait for that.
        self._emergencies: set[str] = set()
        self._paused: dict[str, HeldRoom] = {}

    def flush(self, room: HeldRoom) -> None:
        """At once while this process is idle or when it is urgent; under load what comes within the window goes together."""
        if not room.pending or room.slices:
            return  # the last slice asks again
        urgent = room.most_urgent
        if urgent is Priority.P3 and self._emergencies:
            self._paused[room.name] = room
            return
        window_s = self._window_s(urgent)
        due_s = self._clock.monotonic() + window_s
        if not window_s:
            self.now(room, light=False)
        elif room.flush_due_s is None or due_s < room.flush_due_s:
            room.flush_due_s = due_s
            asyncio.get_running_loop().call_later(window_s, self._flush_due, room)
        if urgent is Priority.P0 and room.slices:
            self._emergencies.add(room.name)

    def _window_s(self, urgent: Priority) -> float:
        """How long what is pending may wait for company, by the most urgent of it."""
        match urgent:
            case Priority.P0:
                return 0.0
            case Priority.P1:
                return min(self.tuning.window_s, SOON_WINDOW_S)
            case Priority.P3 if self.tuning.emergency:
                return EMERGENCY_WINDOW_S
        return self.tuning.window_s

    def _flush_due(self, room: HeldRoom) -> None:
        room.flush_due_s = None
        if not room.slices:
            self.now(room, light=False)

    def now(self, room: HeldRoom, *, light: bool = True) -> None:
        """Send what is pending; to those who are served sparingly only when it is urgent, or `light`."""
        sending = bool(room.slices)
        room.flush(self.tuning.compress_over_bytes, light=light)
        loop = asyncio.get_running_loop()
        if room.slices and not sending:
            loop.call_soon(self._send_slices, room)
        if room.pending and not room.light_due:
            room.light_due = True
            loop.call_later(LIGHT_WINDOW_S, self._light_due, room)

    def _light_due(self, room: HeldRoom) -> None:
        room.light_due = False
        self.now(room)

    def _send_slices(self, room: HeldRoom) -> None:
        if room.send_slice():
            asyncio.get_running_loop().call_soon(self._send_slices, room)
            return
        self.flush(room)
        self._emergencies.discard(room.name)
        if not self._emergencies:
            paused, self._paused = self._paused, {}
            for waiting in paused.values():
                self.flush(waiting)
