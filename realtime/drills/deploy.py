"""`drill deploy`: all workers are replaced, one by one, while everybody is talking. Nobody may notice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from realtime.drills.faults import FaultDrill
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
        before = await self.fleet()
        start_s = self._clock.monotonic()
        self.injected("all workers are being replaced")
        answers = await asyncio.to_thread(self._deploy)
        if not answers or not answers[-1].get("done"):
            raise DrillFailed(f"the deploy came to nothing: {answers[-1:]}")
        self.facts["took_s"] = round(self._clock.monotonic() - start_s, 3)
        self.restored("all workers are replaced")
        old = {row["pid"] for row in before["workers"]}
        self.facts["workers"] = len(old)
        self.facts["replaced"] = len(old - {row["pid"] for row in (await self.fleet())["workers"]})

    def _deploy(self) -> list[dict[str, Any]]:
        return list(remote.ask(Path(self.server.var), {"do": "deploy", "reason": "drill"}, SILENCE_S))

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
