"""`drill hang`: one worker stands still for a while (SIGSTOP), holds its sockets, and then goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from realtime.drills.faults import KNOCK_S, Facts, FaultDrill
from realtime.report import WorkerState

AT = 0.2
HANG_S = 20.0
SHORT_S = 4.0
"""As one fault among others."""
LAME_S = 2.0
KNOCKS = 40


class HangDrill(FaultDrill):
    name = "hang"
    injects = "one worker stands still for 20 s (SIGSTOP) with its sockets open, then goes on as if nothing had been"
    invariant = "0/0/0; it is seen to be lame and gets nobody new; who knocks meanwhile gets in elsewhere"
    live = True
    alerts = ("worker-missing",)
    may_fire = ("canary-lost", "worker-lag")
    recovery = "lame within 2 s, newcomers in within 5 s"
    minutes = 0.8

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        victim = await self.fullest()
        os.kill(victim["pid"], signal.SIGSTOP)
        self.injected(f"{victim['id']} stands still")
        self.facts |= {"stopped": victim["id"], "its_connections": victim["connections"]}
        until_s = self._clock.monotonic() + min(HANG_S, 0.5 * self.options.duration_s)
        try:
            # From the first moment on: what is passed to it unread has to be passed again.
            early = asyncio.create_task(self.knock(KNOCKS // 2, "early"))
            self.facts["lame_s"] = round(await self.until(lambda f: _state(f, victim["id"]) == "lame", "it is lame"), 3)
            self.noticed(f"{victim['id']} is seen to be lame")
            later = await self.knock(KNOCKS // 2, "late", victim["worker"])
            first = await early
            self.facts |= {"knocked": KNOCKS, "let_in": first.let_in + later.let_in, "slowest_s": round(first.slowest_s, 3)}
            self.facts["to_the_stopped_one"] = later.there
            await self._clock.sleep(max(0.0, until_s - self._clock.monotonic()))
        finally:
            os.kill(victim["pid"], signal.SIGCONT)
        ready_s = await self.until(lambda fleet: _state(fleet, victim["id"]) == "ready", "it is ready again")
        self.restored(f"{victim['id']} is ready again")
        self.facts["ready_again_s"] = round(ready_s, 3)

    def promises(self) -> list[str]:
        broken = self.late("lame_s", LAME_S, "the worker was seen to be lame, not")
        if self.facts["let_in"] != KNOCKS:
            broken.append(f"{self.facts['let_in']} of {KNOCKS} newcomers got in within {KNOCK_S:g} s")
        if self.facts["to_the_stopped_one"]:
            broken.append(f"{self.facts['to_the_stopped_one']} newcomers were given to the worker that stood still")
        return broken


def _state(fleet: dict[str, Any], name: str) -> WorkerState | None:
    return next((row["state"] for row in fleet["workers"] if row["id"] == name), None)


async def stop_worker(drill: FaultDrill) -> Facts:
    """Let the fullest worker stand still for a while; returns when it is ready again."""
    victim = await drill.fullest()
    os.kill(victim["pid"], signal.SIGSTOP)
    drill.injected(f"a worker ({victim['id']}) stood still; it held {victim['connections']} people")
    try:
        lame_s = await drill.until(lambda fleet: _state(fleet, victim["id"]) == "lame", "it is lame")
        drill.noticed("it was seen to be lame")
        await drill.sleep(SHORT_S)
    finally:
        os.kill(victim["pid"], signal.SIGCONT)
    await drill.until(lambda fleet: _state(fleet, victim["id"]) == "ready", "it is ready again")
    drill.restored("it is ready again")
    return {"stopped": victim["id"], "lame_s": round(lame_s, 3)}
