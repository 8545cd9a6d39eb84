"""`drill fd-limit`: one worker may not open any more files, while newcomers knock.

The limit is lowered from outside (prlimit(2)) to what the worker has open now and a little more, and raised again afterwards.
"""

from __future__ import annotations

import asyncio
import os
import resource
from typing import Any

from realtime.drills.faults import KNOCK_S, FaultDrill

AT, SHARE = 0.25, 0.4
SPARE = 8
"""Files it may still open."""
KNOCKS = 60
SHORT_S, LEAST_S = 20.0, 6.0
"""How long it lasts; the alert waits two seconds before it fires."""
NOTICED_S = 2.0
READY_S = 3.0


class FilesDrill(FaultDrill):
    name = "fd-limit"
    injects = f"one worker may open {SPARE} more files (ulimit -n), {KNOCKS} newcomers knock, then the limit is lifted"
    invariant = "0/0/0; who is connected stays, newcomers get in elsewhere; the worker says what it lacks, and does not end"
    recovery = (
        f"seen within {NOTICED_S:g} s, newcomers in within {KNOCK_S:g} s; ready again {READY_S:g} s after the limit is lifted"
    )
    alerts = ("worker-lame",)
    minutes = 0.5

    async def inject(self) -> None:
        duration_s = self.options.duration_s
        await self._clock.sleep(AT * duration_s)
        before, victim = await self.pids(), await self.fullest()
        limits = resource.prlimit(victim["pid"], resource.RLIMIT_NOFILE)
        low = len(os.listdir(f"/proc/{victim['pid']}/fd")) + SPARE
        self.facts |= {"worker": victim["id"], "its_connections": victim["connections"], "files_limit": low}
        until_s = self._clock.monotonic() + max(LEAST_S, min(SHORT_S, SHARE * duration_s))
        resource.prlimit(victim["pid"], resource.RLIMIT_NOFILE, (low, limits[1]))
        self.injected(f"{victim['id']} may open {SPARE} more files")
        try:
            knocking = asyncio.create_task(self.knock(KNOCKS, "newcomer", victim["worker"]))
            noticed_s = await self.until(lambda fleet: _row(fleet, victim["id"])["state"] == "lame", "it says that it is full")
            self.facts["noticed_s"] = round(noticed_s, 3)
            self.noticed("the worker says that it takes nobody else")
            self._reason = _row(await self.fleet(), victim["id"])["reason"]
            knocked = await knocking
            self.facts |= {"knocked": KNOCKS, "let_in": knocked.let_in, "slowest_s": round(knocked.slowest_s, 3)}
            await self._clock.sleep(max(0.0, until_s - self._clock.monotonic()))
        finally:
            resource.prlimit(victim["pid"], resource.RLIMIT_NOFILE, limits)
            self.restored("the limit is lifted")
        ready_s = await self.until(lambda fleet: _row(fleet, victim["id"])["state"] == "ready", "it takes people again")
        self.facts |= {"it_says": self._reason, "ready_again_s": round(ready_s, 3)}
        self.facts["processes_ended"] = ", ".join(sorted(before.keys() - (await self.pids()).keys()))

    def promises(self) -> list[str]:
        self.facts["connections_ended"] = len(self.ended)
        broken = self.late("noticed_s", NOTICED_S, "the worker said what it lacks, not")
        broken += self.late("ready_again_s", READY_S, "the worker was")
        if self.facts["let_in"] != KNOCKS:
            broken.append(f"{self.facts['let_in']} of {KNOCKS} newcomers got in within {KNOCK_S:g} s")
        if "open files" not in self._reason:
            broken.append(f"the worker does not say that it lacks open files, but {self._reason!r}")
        if self.ended:
            broken.append(f"{len(self.ended)} connections ended; a limit must keep newcomers out, not send members away")
        if self.facts["processes_ended"]:
            broken.append(f"processes of the fleet have ended: {self.facts['processes_ended']}")
        return broken


def _row(fleet: dict[str, Any], name: str) -> dict[str, Any]:
    return next((row for row in fleet["workers"] if row["id"] == name), {"state": "gone", "reason": ""})
