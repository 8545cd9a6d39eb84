"""`drill storm`: everybody loses the connection in the same moment and comes back."""

from __future__ import annotations

from realtime.drills.faults import PLACED_LEAST, FaultDrill

AT = 0.4
PLANNERS_S, ALL_S = 3.0, 8.0
"""ops.md 5.2: planners within 3 s, all within the spread of 3 s and 5 more."""
COUNTED_S = 1.0
"""Until the workers' counts are those after the storm."""
DISPATCHER_US = 40.0


class StormDrill(FaultDrill):
    name = "storm"

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        await self.note_placement("before")
        before = (await self.fleet())["dispatcher"]
        self.at_s = self._clock.monotonic()
        for client in self._everybody():
            client.drop()
        dropped = self.facts["dropped"] = sum(len(room.roles) for room in self.plan)
        after = await self.until(lambda fleet: fleet["dispatcher"]["passed"] >= before["passed"] + dropped, "all are back")
        self.facts["last_passed_s"] = round(after, 3)
        now = (await self.fleet())["dispatcher"]
        passed, cpu_s = now["passed"] - before["passed"], now["cpu_s"] - before["cpu_s"]
        self.facts |= {"passed": passed, "dispatcher_us_each": round(1e6 * cpu_s / passed, 1)}
        await self._clock.sleep(COUNTED_S)
        await self.note_placement("after")

    def promises(self) -> list[str]:
        self.note_returns(self.at_s)
        broken = self.late("planners_back_s", PLANNERS_S, "the last planner was")
        broken += [sentence for when in ("before", "after") for sentence in self.badly_placed(when)]
        each_us = self.facts["dispatcher_us_each"]
        if self.options.connections >= PLACED_LEAST and isinstance(each_us, float) and each_us > DISPATCHER_US:
            broken.append(f"the dispatcher took {each_us} us of CPU for each connection, the goal is {DISPATCHER_US:g} us")
        return broken + self.late("last_back_s", ALL_S, "the last one was")
