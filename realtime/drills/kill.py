"""`drill kill`: one worker of two is killed without a word while everybody is talking."""

from __future__ import annotations

import os
import signal
from typing import Any

from realtime.drills.faults import Facts, FaultDrill

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
        await self.sleep(AT * self.options.duration_s)
        self.killed_s = self.now_s()
        self.facts |= await kill_worker(self)

    def promises(self) -> list[str]:
        self.note_returns(self.killed_s)
        broken = self.late("planners_back_s", PLANNERS_S, "the last planner was")
        broken += self.late("p99_back_s", ALL_S, "99 of 100 were")
        if not self.facts["cut_off"]:
            broken.append("the worker that was killed held nobody: nothing was shown")
        return broken + self.late("replaced_s", READY_S, "the worker was")


async def kill_worker(drill: FaultDrill) -> Facts:
    """Kill the fullest worker; returns when it is replaced."""
    victim = await drill.fullest()
    os.kill(victim["pid"], signal.SIGKILL)
    drill.injected(f"a worker ({victim['id']}) was killed; it held {victim['connections']} people")

    def replaced(fleet: dict[str, Any]) -> bool:
        return any(
            row["slot"] == victim["slot"] and row["pid"] != victim["pid"] and row["state"] == "ready"
            for row in fleet["workers"]
        )

    replaced_s = round(await drill.until(replaced, "the worker is replaced"), 3)
    drill.restored("the worker is replaced and ready")
    return {"killed": victim["id"], "its_connections": victim["connections"], "replaced_s": replaced_s}
