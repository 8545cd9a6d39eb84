"""What the drills have in common that harm what lies between the workers: how long what is durable takes meanwhile.

Everybody is in one wedding, and half of them are sent to another worker first: so what they say has to cross. Weddings that are
whole on one worker, as nearly all are, would notice nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from realtime.client import Client
from realtime.client_events import Connected, Event, Received, Via
from realtime.drills.faults import FaultDrill
from realtime.drills.history import Recorder
from realtime.drills.load import Options, profile_of
from realtime.drills.server import DrillFailed
from realtime.drills.workloads import RoomPlan, rooms
from realtime.histogram import Histogram
from realtime.kinds import KINDS, Priority

CROSSING = 0.9
"""Share of those that were sent elsewhere that has to be there: a few may be on their way."""
SETTLED_S = 1.0
GOAL_MS = 1_000.0
"""Across workers, while the layer carries nothing: the journal is compared four times a second."""


class LayerDrill(FaultDrill):
    """Set `sick` while the layer is. Everything durable that is seen then is measured from its intended moment."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # As much is said as in all the weddings that so many people usually are.
        usual = len(rooms(self.profile, self.options.connections))
        self.profile = replace(self.profile, one_room=True, factor=self.profile.factor * usual)
        self.sick = False
        self._meanwhile = Histogram()
        self._processes: dict[tuple[int, int], str] = {}
        """{(room, member): the process that welcomed it last}."""

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell = super()._listening(n, m, recorder)

        def on_event(event: Event) -> None:
            tell(event)
            if isinstance(event, Connected):
                self._processes[n, m] = event.welcome.process
            if isinstance(event, Received) and self.sick and event.via is Via.LIVE:
                self._measure(n, event)

        return on_event

    def _measure(self, n: int, event: Received) -> None:
        kind, sender = KINDS.get(event.pub.kind), event.pub.sender.member
        if kind is None or kind.priority is Priority.P3:
            return
        message = self.history.messages[self.history.ref(self.plan[n].name, sender, event.pub.id, event.pub.kind)]
        if message.sent:
            self._meanwhile.record(self._clock.monotonic() - message.intended_s)

    @classmethod
    def plan_of(cls, options: Options) -> list[RoomPlan]:
        return rooms(replace(profile_of(options), one_room=True), options.connections, options.prefix)

    async def split(self) -> None:
        """Have half of the people on another worker. Raises DrillFailed when there is none, or they do not get there."""
        first = await self.fullest()
        others = [row for row in (await self.fleet())["workers"] if row["slot"] != first["slot"] and row["state"] == "ready"]
        if not others:
            raise DrillFailed("there is only one worker: nothing has to cross; use --workers 2")
        slot, wanted = others[0]["slot"], self.options.connections // 2
        homes = {"do": "homes", "homes": {room.name: slot for room in self.plan}}
        await asyncio.to_thread(self._ask_once, homes)
        for client in self._to_drop(others[0]["worker"], wanted):
            client.drop()

        def there(fleet: dict[str, Any]) -> bool:
            return any(row["slot"] == slot and (row["connections"] or 0) >= CROSSING * wanted for row in fleet["workers"])

        await self.until(there, f"{wanted} members are on {slot}")
        await self._clock.sleep(SETTLED_S)
        held = [row["connections"] or 0 for row in (await self.fleet())["workers"]]
        self.facts |= {"on_one_worker": max(held), "on_others": sum(held) - max(held)}
        self.ended.clear()  # that was no fault of the layer
        self._open.clear()

    def _to_drop(self, worker: str, wanted: int) -> list[Client]:
        """Those who are to come back so that `wanted` are on `worker`; when all came at once, some were put there already."""
        members = [((n, m), client) for n, room in enumerate(self.clients) for m, client in enumerate(room)]
        away = [client for place, client in members if self._processes.get(place) != worker]
        return away[: max(0, wanted - (len(members) - len(away)))]

    def promises(self) -> list[str]:
        p99_ms = self._meanwhile.quantile_ms(0.99)
        self.facts |= {"seen_meanwhile": len(self._meanwhile), "p99_meanwhile_ms": None if p99_ms is None else round(p99_ms, 1)}
        self.facts["connections_ended"] = len(self.ended)
        broken = []
        if p99_ms is None:
            broken.append("nothing durable was seen meanwhile: play for longer")
        elif p99_ms > GOAL_MS or math.isnan(p99_ms):
            broken.append(f"meanwhile p99 was {p99_ms:.0f} ms, the goal is {GOAL_MS:g} ms")
        if self.ended:
            broken.append(f"{len(self.ended)} connections ended; for what lies between the workers nobody should come back")
        return broken
