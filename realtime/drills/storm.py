"""`drill storm`: everybody loses the connection in the same moment and comes back."""

from __future__ import annotations

from realtime.drills.faults import PLACED_LEAST, Facts, FaultDrill
from realtime.drills.load import GOAL_MS
from realtime.kinds import Priority
from realtime.session import Phase

AT = 0.4
PLANNERS_S, ALL_S = 3.0, 8.0
"""ops.md 5.2: planners within 3 s, all within the spread of 3 s and 5 more."""
COUNTED_S = 1.0
"""Until the workers' counts are those after the storm."""
DISPATCHER_US = 40.0
ASKED_S = 0.25
"""So often the fleet is asked whether it is over: asking costs those who come back."""
URGENT = (Priority.P0, Priority.P1)


class StormDrill(FaultDrill):
    name = "storm"
    injects = "everybody loses the connection in the same moment"
    invariant = "0/0/0; everybody comes back by themselves, spread, planners first"
    live = True
    recovery = "planners 3 s, all 8 s: the spread of 3 s and 5 more; p99 of what is urgent, between those who are back, 100 ms"

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        await self.note_placement("before")
        self.at_s = self.now_s()
        self.facts |= await drop_all(self)
        await self._clock.sleep(COUNTED_S)
        await self.note_placement("after")

    def promises(self) -> list[str]:
        self.note_returns(self.at_s)
        for name, priorities in (("others_urgent", URGENT), ("others", tuple(Priority))):
            measured = self.history.course.others(priorities)
            self.facts |= {f"{name}_p99_ms": measured.p99_ms, f"{name}_deliveries": measured.count}
        broken = self.late("planners_back_s", PLANNERS_S, "the last planner was")
        broken += [sentence for when in ("before", "after") for sentence in self.badly_placed(when)]
        each_us = self.facts["dispatcher_us_each"]
        if self.options.connections >= PLACED_LEAST and isinstance(each_us, float) and each_us > DISPATCHER_US:
            broken.append(f"the dispatcher took {each_us} us of CPU for each connection, the goal is {DISPATCHER_US:g} us")
        urgent_ms = self.facts["others_urgent_p99_ms"]
        if isinstance(urgent_ms, float) and urgent_ms > GOAL_MS:
            broken.append(f"what is urgent took p99 {urgent_ms:.1f} ms between those who were back, the goal is {GOAL_MS:g} ms")
        return broken + self.late("last_back_s", ALL_S, "the last one was")


async def drop_all(drill: FaultDrill) -> Facts:
    """Cut off everybody; returns when all were passed to a worker again."""
    before = (await drill.fleet())["dispatcher"]
    there = [client for client in drill.everybody() if client.session.phase is Phase.LIVE]
    drill.injected(f"all {len(there)} people lost the connection in one moment")
    for client in there:
        client.drop()
    all_passed = before["passed"] + len(there)
    after_s = await drill.until(lambda f: f["dispatcher"]["passed"] >= all_passed, "all are back", every_s=ASKED_S)
    drill.restored("everybody was passed to a worker again")
    now = (await drill.fleet())["dispatcher"]
    passed, cpu_s = now["passed"] - before["passed"], now["cpu_s"] - before["cpu_s"]
    counted: Facts = {"dropped": len(there), "last_passed_s": round(after_s, 3), "passed": passed}
    return counted | {"dispatcher_us_each": round(1e6 * cpu_s / passed, 1)}
