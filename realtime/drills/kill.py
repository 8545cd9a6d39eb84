"""`drill kill`: one worker of two is killed without a word while everybody is talking."""

from __future__ import annotations

import os
import signal

from realtime.drills.faults import FaultDrill

AT = 0.4
"""Of the play: there has to be traffic before it and after it."""
PLANNERS_S, ALL_S, READY_S = 1.0, 5.0, 6.0


class KillDrill(FaultDrill):
    name = "kill"
    injects = "one worker is killed without a word (SIGKILL) while everybody is talking"
    invariant = "0 lost, 0 twice, 0 out of order, what was acknowledged in the last moment included; the worker is replaced"
    live = True
    may_fire = ("worker-missing",)
    recovery = "planners 1 s, 99 of 100 people 5 s, the worker 6 s"

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        victim = await self.fullest()
        self.killed_s = self._clock.monotonic()
        os.kill(victim["pid"], signal.SIGKILL)
        self.injected(f"{victim['id']} is killed; it held {victim['connections']} connections")
        self.facts |= {"killed": victim["id"], "its_connections": victim["connections"]}

        def replaced(fleet: object) -> bool:
            rows = fleet["workers"]  # type: ignore[index]
            return any(
                row["slot"] == victim["slot"] and row["pid"] != victim["pid"] and row["state"] == "ready" for row in rows
            )

        self.facts["replaced_s"] = round(await self.until(replaced, "the worker is replaced"), 3)
        self.restored("the worker is replaced and ready")

    def promises(self) -> list[str]:
        self.note_returns(self.killed_s)
        broken = self.late("planners_back_s", PLANNERS_S, "the last planner was")
        broken += self.late("p99_back_s", ALL_S, "99 of 100 were")
        if not self.facts["cut_off"]:
            broken.append("the worker that was killed held nobody: nothing was shown")
        return broken + self.late("replaced_s", READY_S, "the worker was")
