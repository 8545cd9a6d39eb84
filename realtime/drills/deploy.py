"""`drill deploy`: all workers are replaced, one by one, while everybody is talking. Nobody may notice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from realtime.drills.faults import Facts, FaultDrill
from realtime.drills.server import DrillFailed
from realtime.fleet import remote

AT = 0.2
SILENCE_S = 120.0


class DeployDrill(FaultDrill):
    name = "deploy"
    injects = "all workers are replaced, one by one, while everybody is talking"
    invariant = "0/0/0; everybody is moved before their worker ends; no connection ends"
    live = True
    recovery = "0 s: nobody may notice"

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        self.facts |= await deploy_all(self)

    def promises(self) -> list[str]:
        self.facts |= {"moves": self.moves, "connections_ended": len(self.ended)}
        broken = []
        if self.facts["replaced"] != self.facts["workers"]:
            broken.append(f"{self.facts['replaced']} of {self.facts['workers']} workers were replaced")
        if self.moves < self.options.connections:
            broken.append(f"only {self.moves} moves: not everybody was on a worker that was replaced")
        if self.ended:
            codes = sorted({ended.code for ended in self.ended})
            broken.append(f"{len(self.ended)} connections ended (codes {codes}); nobody should have noticed")
        return broken


async def deploy_all(drill: FaultDrill) -> Facts:
    """Replace all workers; returns when that is done."""
    old = {row["pid"] for row in (await drill.fleet())["workers"]}
    start_s = drill.now_s()
    drill.injected("all workers were replaced, one after the other")
    answers = await asyncio.to_thread(_deploy, drill)
    if not answers or not answers[-1].get("done"):
        raise DrillFailed(f"the deploy came to nothing: {answers[-1:]}")
    drill.restored("all workers are replaced")
    new = {row["pid"] for row in (await drill.fleet())["workers"]}
    return {"took_s": round(drill.now_s() - start_s, 3), "workers": len(old), "replaced": len(old - new)}


def _deploy(drill: FaultDrill) -> list[dict[str, Any]]:
    return list(remote.ask(Path(drill.server.var), {"do": "deploy", "reason": "drill"}, SILENCE_S))
