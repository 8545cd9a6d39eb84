"""`drill clock`: the wall clock of one worker is minutes off, one way and the other, and then steps to and fro."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from django.conf import settings

from realtime.access import issue_ticket
from realtime.drills.faults import KNOCK_S, FaultDrill, FaultResult
from realtime.drills.load import Result
from realtime.drills.owner import tag
from realtime.drills.server import FOLDER

SLOT = "w2"
OFF_S = 300.0
STEP_S, STEPS, STEP_EVERY_S = 2.0, 6, 0.5
LEAST_S = 7.0
"""Each way, however short the play is: the alert waits three seconds, after a report and a look at it."""
KNOCKS = 20
EPHEMERAL_LOST_MAX = 0.01
TICKET_S = 30
LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"


def library() -> str:
    """libfaketime, "" when it is not installed."""
    return next((str(path) for path in sorted(Path("/").glob(LIBRARIES.removeprefix("/")))), "")


class ClockDrill(FaultDrill):
    name = "clock"
    injects = f"the wall clock of one worker is {OFF_S / 60:g} minutes ahead, then as much behind, then steps by {STEP_S:g} s"
    invariant = "0/0/0; order, timers and latency are as before, nobody is sent away, fresh tickets of 30 s are good everywhere"
    recovery = f"none to wait for; newcomers in within {KNOCK_S:g} s"
    minutes = 0.7
    judge_latency = True
    alerts = ("clock-offset",)
    file: Path

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-clock-") as folder:
            cls.file = Path(folder) / "offset"
            await cls.turn(0.0)
            skew = Path(__file__).parent / "skew"
            yield {
                "PYTHONPATH": f"{skew}:{settings.BASE_DIR}",
                "WEDSYNC_SKEW_SLOT": SLOT,
                "WEDSYNC_SKEW_FILE": str(cls.file),
                "WEDSYNC_SKEW_LIBRARY": library(),
            }

    @classmethod
    async def turn(cls, offset_s: float) -> None:
        """From now on that worker's clock is so far from the right time."""

        def write() -> None:
            new = cls.file.with_suffix(".new")
            new.write_text(f"{offset_s:+g}", encoding="ascii")
            new.replace(cls.file)

        await asyncio.to_thread(write)

    async def inject(self) -> None:
        duration_s, self._unfit = self.options.duration_s, set[str]()
        await self._clock.sleep(0.15 * duration_s)
        before = await self.pids()
        self.facts |= {"clock_of": SLOT, "by": "libfaketime" if library() else "Python's clocks", "knocked": 0, "let_in": 0}
        for name, offset_s in (("ahead", OFF_S), ("behind", -OFF_S)):
            await self.turn(offset_s)
            self.injected(f"the clock of {SLOT} is {OFF_S / 60:g} minutes {name}")
            await self._look(max(LEAST_S, 0.25 * duration_s), name)
        for n in range(STEPS):
            await self.turn(STEP_S if n % 2 else -STEP_S)
            await self._look(STEP_EVERY_S)
        await self.turn(0.0)
        self.restored("the clock is right again")
        self.facts["processes_ended"] = ", ".join(sorted(before.keys() - (await self.pids()).keys()))

    async def _look(self, seconds: float, name: str = "") -> None:
        """Look whether all workers are ready; with a `name` newcomers knock half way."""
        until_s = self._clock.monotonic() + seconds
        await self._clock.sleep(seconds / 2)
        if name:
            self._ticket = lambda room, member: issue_ticket(room, member, now=self._clock.now(), ttl_s=TICKET_S)
            knocked = await self.knock(KNOCKS, name)
            self.facts["knocked"] = KNOCKS + int(self.facts["knocked"] or 0)
            self.facts["let_in"] = knocked.let_in + int(self.facts["let_in"] or 0)
        rows = (await self.fleet())["workers"]
        self._unfit |= {f"{row['id']} was {row['state']}: {row['reason']}" for row in rows if row["state"] != "ready"}
        await self._clock.sleep(max(0.0, until_s - self._clock.monotonic()))

    def _found(self, load: Result, promises: Callable[[], list[str]]) -> FaultResult:
        """What is ephemeral has no offset: a worker with a wrong clock may take it for old, and nobody else would notice."""
        lost = load.ephemeral_expected - load.ephemeral_delivered
        few = lost <= EPHEMERAL_LOST_MAX * load.ephemeral_expected
        sentence = f"{lost} of {load.ephemeral_expected} ephemeral deliveries did not arrive"
        return super()._found(load, lambda: promises() + ([] if few else [sentence]))

    def promises(self) -> list[str]:
        self.facts["connections_ended"] = len(self.ended)
        broken = sorted(self._unfit)
        if self.facts["let_in"] != self.facts["knocked"]:
            broken.append(f"{self.facts['let_in']} of {self.facts['knocked']} newcomers with a fresh ticket got in")
        if self.ended:
            broken.append(f"{len(self.ended)} connections ended; a clock must send nobody away")
        if self.facts["processes_ended"]:
            broken.append(f"processes of the fleet have ended: {self.facts['processes_ended']}")
        return broken
