"""`drill storm`: everybody loses the connection in the same moment and comes back."""

from __future__ import annotations

from realtime.drills.faults import FaultDrill

AT = 0.4
PLANNERS_S, ALL_S = 3.0, 8.0
"""ops.md 5.2: planners within 3 s, all within the spread of 3 s and 5 more."""


class StormDrill(FaultDrill):
    name = "storm"
    injects = "everybody loses the connection in the same moment"
    invariant = "0/0/0; everybody comes back by themselves, spread, planners first"
    live = True
    recovery = "planners 3 s, all 8 s: the spread of 3 s and 5 more"

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        before = (await self.fleet())["dispatcher"]
        self.at_s = self._clock.monotonic()
        self.injected("everybody loses the connection")
        for client in self._everybody():
            client.drop()
        dropped = self.facts["dropped"] = sum(len(room.roles) for room in self.plan)
        after = await self.until(lambda fleet: fleet["dispatcher"]["passed"] >= before["passed"] + dropped, "all are back")
        self.restored("everybody was passed to a worker again")
        self.facts["last_passed_s"] = round(after, 3)
        now = (await self.fleet())["dispatcher"]
        passed, cpu_s = now["passed"] - before["passed"], now["cpu_s"] - before["cpu_s"]
        self.facts |= {"passed": passed, "dispatcher_us_each": round(1e6 * cpu_s / passed, 1)}

    def promises(self) -> list[str]:
        self.note_returns(self.at_s)
        broken = self.late("planners_back_s", PLANNERS_S, "the last planner was")
        return broken + self.late("last_back_s", ALL_S, "the last one was")
