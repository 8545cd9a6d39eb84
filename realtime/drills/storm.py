"""`drill storm`: everybody loses the connection in the same moment and comes back."""

from __future__ import annotations

from realtime.drills.faults import FaultDrill

AT = 0.4
PLANNERS_S, ALL_S = 3.0, 8.0
"""ops.md 5.2: planners within 3 s, all within the spread of 3 s and 5 more."""


class StormDrill(FaultDrill):
    name = "storm"

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        self.at_s = self._clock.monotonic()
        for client in self._everybody():
            client.drop()
        self.facts["dropped"] = sum(len(room.roles) for room in self.plan)

    def promises(self) -> list[str]:
        self.note_returns(self.at_s)
        broken = self.late("planners_back_s", PLANNERS_S, "the last planner was")
        return broken + self.late("last_back_s", ALL_S, "the last one was")
