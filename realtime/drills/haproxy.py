"""`drill haproxy`: workers come, are drained and go behind HAProxy, which is reloaded meanwhile. Nobody may notice.

Injection: three workers behind HAProxy with `deploy/haproxy.cfg`; a fourth one is added, the balancer makes loads even, HAProxy
is reloaded and forgets its servers, one worker is drained and ends.
Invariant: no connection ends; weddings are whole on one worker before and after; nobody carries much more than the others.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from realtime.bootstrap import haproxy_at, registry_at
from realtime.drills.faults import FaultDrill
from realtime.drills.load import Result
from realtime.drills.needs import Need, program
from realtime.drills.owner import tag
from realtime.drills.postgres import Postgres, binaries
from realtime.drills.redis_kill import need as redis_server
from realtime.drills.redis_servers import NOTHING_KEPT, RedisServer
from realtime.drills.redis_servers import running as running_redis
from realtime.drills.server import FOLDER, DrillFailed, daphne, free_port
from realtime.fleet import processes
from realtime.policy.fleet_load import as_held
from realtime.report import Drain, WorkerReport

CONFIG = Path(settings.BASE_DIR) / "deploy/haproxy.cfg"
WORKERS = 3
JUDGED_LEAST = 1_000
"""With fewer people the sizes of a few weddings decide how even the workers can be."""
WHOLE_PERCENT, FULLEST = 90.0, 1.25
EVEN_S = 240.0
"""For the balancer: loads are uneven for 30 s before it begins, then one wedding after the other."""
PUT_BACK_S = 15.0
LOOK_S = 0.25
END_S = 30.0
NEWCOMERS = 20


class HAProxyDrill(FaultDrill):
    name = "haproxy"
    injects = "behind HAProxy a worker is added, another is drained and ends; HAProxy is reloaded in between"
    invariant = "0/0/0; no connection ends; weddings whole on one worker, the fullest within 1.25 of the mean"
    recovery = "servers back within 15 s of a reload"
    needs = (
        program("haproxy", "apt-get install haproxy"),
        Need("PostgreSQL", "apt-get install postgresql", lambda: binaries() is not None),
        redis_server,
    )
    minutes = 2.5
    people = 1_000
    workers = 0
    usual_profile = "sat-june-10k"

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        """A journal and a layer for several machines; the first process serves the pages."""
        with Postgres() as database, tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-redis-") as folder:
            redis = RedisServer(Path(folder), *NOTHING_KEPT)
            async with running_redis([redis]):
                pages = {"WEDSYNC_SLOT": "web", "WEDSYNC_CONTROL": ""}
                yield pages | {"DATABASE_URL": database.database(), "REDIS_URL": f"redis://127.0.0.1:{redis.port}"}

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._var = Path(self.server.var)
        self._registry = registry_at(self.server.env["REDIS_URL"])
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        port, homes = free_port(), self._var / "homes.map"
        self._socket = self._var / "haproxy.sock"
        self._front = haproxy_at(self._socket, homes)
        self._url = f"http://127.0.0.1:{port}"
        self._env = self.server.env | {
            "WEDSYNC_HAPROXY_SOCKET": str(self._socket),
            "WEDSYNC_HAPROXY_HOMES": str(homes),
            "WEDSYNC_HAPROXY_BIND": f"127.0.0.1:{port}",
            "WEDSYNC_WEB": urlsplit(self.server.url).netloc,
        }

    async def run(self) -> Result:
        """Start HAProxy, the control loop and the workers around the play, and end them in every case."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._registry.stop)
            stack.push_async_callback(self._end_all)
            await asyncio.to_thread((self._var / "homes.map").touch)
            await self._start("haproxy", self._haproxy())
            await self._start("control", [sys.executable, "manage.py", "control_loop"])
            for number in range(1, WORKERS + 1):
                await self._start_worker(f"w{number}")
            await self._until_served({f"w{number}" for number in range(1, WORKERS + 1)})
            self._server = urlsplit(self._url)
            return await super().run()

    async def inject(self) -> None:
        start_s = self.now_s()
        if self.options.connections >= JUDGED_LEAST:
            await self.until(self._is_whole, "weddings are whole", EVEN_S)
            self._took("whole_after_s", start_s)
        await self.note_placement("before")
        self.injected("a worker was added")
        start_s = self.now_s()
        await self._start_worker("w4")
        await self._until_served({"w1", "w2", "w3", "w4"})
        self._took("added_s", start_s)
        if self.options.connections >= JUDGED_LEAST:
            await self.until(lambda f: self._is_whole(f) and self._is_even(f), "weddings are whole and workers even", EVEN_S)
            self._took("even_after_s", start_s)
        await self.note_placement("after")
        await self._reload()
        self.noticed("a worker was drained")
        await self._drain("w1")
        self.restored("the worker has ended")
        await self.note_placement("in_the_end")

    async def _reload(self) -> None:
        """HAProxy starts anew with the listening sockets of the old one, which serves those it has; servers are forgotten."""
        self.noticed("HAProxy was reloaded")
        start_s, old = self.now_s(), self._processes["haproxy"]
        self._processes["old haproxy"] = old
        await self._start("haproxy", self._haproxy("-sf", str(old.pid), "-x", str(self._socket)))
        while await self._answering() != self._processes["haproxy"].pid:
            await self.sleep(0.05)
        await self._until_served({"w1", "w2", "w3", "w4"}, PUT_BACK_S)
        self._took("put_back_s", start_s)
        knocked = await self.knock(NEWCOMERS, "newcomer")
        self.facts |= {"newcomers": NEWCOMERS, "newcomers_let_in": knocked.let_in}

    async def _drain(self, slot: str) -> None:
        """As `manage.py drain` does it: its people go elsewhere, it ends by itself, and HAProxy has forgotten it."""
        start_s, process = self.now_s(), self._processes[slot]
        report = next(report for report in await self._registry.reports() if report.slot == slot)
        await self._registry.order(report.worker, Drain("the drill drains it"))
        await self.until(lambda _: process.poll() is not None, f"{slot} has ended", 60.0 + END_S)
        self.facts["drained_worker_s_exit_status"] = process.returncode
        self._took("drained_s", start_s)
        await self._until_served({"w2", "w3", "w4"}, END_S)

    def promises(self) -> list[str]:
        self.facts |= {"moves": self.moves, "connections_ended": len(self.ended)}
        broken = []
        if self.ended:
            codes = sorted({ended.code for ended in self.ended})
            broken.append(f"{len(self.ended)} connections ended (codes {codes}); nobody should have noticed")
        if self.facts["newcomers_let_in"] != NEWCOMERS:
            broken.append(f"{self.facts['newcomers_let_in']} of {NEWCOMERS} newcomers got in after the reload")
        if self.facts["drained_worker_s_exit_status"] != 0:
            broken.append(f"the drained worker ended with {self.facts['drained_worker_s_exit_status']}")
        return broken + [line for when in ("before", "after", "in_the_end") for line in self.badly_placed(when)]

    def badly_placed(self, when: str) -> list[str]:
        whole, fullest = self.facts[f"whole_weddings_percent_{when}"], self.facts[f"fullest_over_mean_{when}"]
        if self.options.connections < JUDGED_LEAST:
            return []
        broken = []
        if not isinstance(whole, float) or whole < WHOLE_PERCENT:
            broken.append(f"{whole} % of the weddings were whole on one worker {when}; the goal is {WHOLE_PERCENT:g} %")
        if when == "after" and (not isinstance(fullest, float) or fullest > FULLEST):
            broken.append(f"the fullest worker had {fullest} times the mean {when}; the goal is {FULLEST:g}")
        return broken

    # -- what runs ----------------------------------------------------------------------------------------------------

    async def fleet(self) -> dict[str, Any]:
        """Of the reports, which come once a second: no supervisor looks after these workers."""
        await self.sleep(LOOK_S)  # to ask more often would only take from those who are measured
        return {"workers": [_row(report) for report in await self._registry.reports()]}

    async def _ready_workers(self) -> int | None:
        return sum(report.state == "ready" for report in await self._registry.reports())

    async def note_placement(self, when: str) -> None:
        whole, fullest = _placement(await self._registry.reports())
        self.facts |= {f"whole_weddings_percent_{when}": whole, f"fullest_over_mean_{when}": fullest}

    def _is_whole(self, fleet: dict[str, Any]) -> bool:
        return _placement([row["report"] for row in fleet["workers"]])[0] >= WHOLE_PERCENT

    def _is_even(self, fleet: dict[str, Any]) -> bool:
        return _placement([row["report"] for row in fleet["workers"]])[1] <= FULLEST

    def _took(self, fact: str, start_s: float) -> None:
        self.facts[fact] = round(self.now_s() - start_s, 3)

    def _haproxy(self, *more: str) -> list[str]:
        return ["haproxy", "-db", "-f", str(CONFIG), *more]

    async def _start_worker(self, slot: str) -> None:
        port = free_port()
        await self._start(slot, daphne(port), WEDSYNC_SLOT=slot, WEDSYNC_ADDRESS=f"127.0.0.1:{port}")

    async def _start(self, name: str, command: list[str], **env: str) -> None:
        with (self._var / f"{name}.log").open("ab") as log:  # noqa: ASYNC230 - a name in a folder of ours
            start = processes.start
            self._processes[name] = await asyncio.to_thread(
                start, command, self._env | env, cwd=Path(settings.BASE_DIR), output=log
            )

    async def _until_served(self, slots: set[str], timeout_s: float = 60.0) -> None:
        """Wait until HAProxy has exactly these. Raises DrillFailed."""
        until_s = self.now_s() + timeout_s
        while await self._served() != slots:
            if self.now_s() > until_s:
                raise DrillFailed(f"after {timeout_s:g} s HAProxy has {sorted(await self._served())}, not {sorted(slots)}")
            await self.sleep(0.2)

    async def _answering(self) -> int:
        """The pid of the HAProxy that answers, 0 for none. Raises DrillFailed when the new one has ended."""
        if self._processes["haproxy"].poll() is not None:
            raise DrillFailed("the new HAProxy ended at once")
        try:
            return await self._front.pid()
        except OSError:
            return 0

    async def _served(self) -> set[str]:
        try:
            return set(await self._front.sockets())
        except OSError:
            return set()  # it is on its way up

    async def _end_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                await asyncio.to_thread(process.wait, END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)


def _row(report: WorkerReport) -> dict[str, Any]:
    people = sum(report.connections.values())
    return {"id": report.slot, "worker": report.worker, "state": report.state, "connections": people, "report": report}


def _placement(reports: list[WorkerReport]) -> tuple[float, float]:
    """(share of weddings that are whole on one worker, percent; the fullest worker that takes people over the mean)."""
    held = as_held(reports)
    loads = [sum(report.connections.values()) for report in reports if report.state == "ready"]
    whole = sum(len(one.at) == 1 for one in held)
    even = max(loads) * len(loads) / sum(loads) if sum(loads) else 1.0
    return round(100 * whole / max(1, len(held)), 1), round(even, 3)
