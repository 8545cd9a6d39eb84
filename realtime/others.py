"""The other processes that hold a room: what is told to them, and whether there are any.

As a rule a wedding is on one worker, and what is said there need not leave it. Who opens a room greets the others, who answer;
every process tells all the others now and then which rooms it holds. So one that has heard nobody speak of a room for long
enough is alone with it, as long as the layer worked and it did not stand still itself. Should it be mistaken all the same, the
other one finds what is durable in the journal, within a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from realtime.clock import Clock
from realtime.parcel import Parcel, pack
from realtime.ports import Mailbox
from realtime.publication import Entry
from realtime.room import HeldRoom
from realtime.standstill import Standstill

FLEET = "fleet.rooms"
"""Not a wedding, no slug has a dot: the group on the layer in which all processes tell which rooms they hold."""
MISSED = 2.5
"""A process of which nobody has heard for so many times the usual interval does not hold the room."""


class Others:
    """As one process knows them. `every_s`: how often each tells which rooms it holds, and who is there."""

    def __init__(self, mailbox: Mailbox, clock: Clock, process: str, every_s: float, standstill: Standstill) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._process = process
        self._every_s = every_s
        self._standstill = standstill
        self._told_s = -math.inf

    def alone(self, room: HeldRoom) -> bool:
        """Whether surely nobody else holds the room."""
        silent_s = self._clock.monotonic() - max(room.heard_s, self._mailbox.sick_s)
        return silent_s > MISSED * self._every_s and not self._standstill.lately

    def tell(self, name: str, room: HeldRoom | None, parcel: Parcel) -> None:
        """Hand `parcel` on to those that hold the room, if there may be any; `room` None: this process does not. What is
        provisional, or is no longer, goes out in any case: nobody would find it in the journal."""
        if room is None or parcel.provisional or parcel.forget or not self.alone(room):
            self._mailbox.send(name, [pack(parcel)])

    def greet(self, room: HeldRoom) -> None:
        """Whoever holds the room, too, knows of this process from now on, and answers."""
        room.heard_s = self._clock.monotonic()
        self._mailbox.send(room.name, [pack(Parcel(self._process, roster_wanted=True))])

    def tell_roster(self, room: HeldRoom, lately: Sequence[Entry] = ()) -> None:
        """Who is here, and what was said `lately`, for one that has just opened the room."""
        self._mailbox.send(room.name, [pack(Parcel(self._process, list(lately), roster=room.presence.roster()))])

    def take(self, holds: Sequence[str], rooms: Mapping[str, HeldRoom]) -> None:
        """Another process tells which rooms it holds."""
        for name in holds:
            if name in rooms:
                rooms[name].heard_s = self._clock.monotonic()

    def tick(self, rooms: Mapping[str, HeldRoom]) -> None:
        """Once a second: tell the others which rooms are held here when it is time, and as soon as the layer works again."""
        now_s = self._clock.monotonic()
        if not rooms:
            return
        if now_s - self._told_s >= self._every_s or (self._mailbox.healthy and self._told_s < self._mailbox.sick_s):
            self._told_s = now_s
            self._mailbox.send(FLEET, [pack(Parcel(self._process, holds=list(rooms)))])
