"""`drill redis-kill`: the Redis between the workers is killed, is gone for a while, and comes back empty."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from realtime.drills.faults import FaultDrill
from realtime.drills.layer import LayerDrill
from realtime.drills.needs import Need
from realtime.drills.owner import tag
from realtime.drills.server import FOLDER, DrillFailed
from realtime.fleet import processes

AT = 0.2
GONE_S = 30.0
HELD_S = 20.0
need = Need("redis-server", "apt-get install redis-server", lambda: processes.redis_binary() is not None)


class OwnRedis:
    """A Redis of the drill's own, on a UNIX socket, that can be killed and started again, with nothing in it."""

    def __init__(self, folder: Path) -> None:
        binary = processes.redis_binary()
        if binary is None:
            raise DrillFailed("there is no redis-server here: apt-get install redis-server")
        self._command, self.url = processes.redis_command(binary, folder)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = processes.start(self._command, {})

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def outage(self, drill: FaultDrill, gone_s: float) -> None:
        """Gone for so long, and back with nothing in it."""
        await asyncio.to_thread(self.kill)
        drill.injected(f"the Redis between the workers was gone for {gone_s:.0f} s and came back empty")
        await drill.sleep(gone_s)
        self.start()
        drill.restored("Redis is back, empty")


@asynccontextmanager
async def own_redis() -> AsyncIterator[OwnRedis]:
    """Started, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-redis-", ignore_cleanup_errors=True) as folder:
        redis = OwnRedis(Path(folder))
        redis.start()
        try:
            yield redis
        finally:
            await asyncio.to_thread(redis.kill)


class RedisKillDrill(LayerDrill):
    name = "redis-kill"
    injects = "the Redis between the workers is killed, is gone for 30 s, and comes back empty"
    invariant = "0/0/0; delivery goes on across workers, p99 within 1 s; no connection ends"
    recovery = "none to wait for: nobody has to come back"
    needs = (need,)
    alerts = ("registry-silent",)
    minutes = 1.0
    redis: OwnRedis

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        async with own_redis() as cls.redis:
            yield {"REDIS_URL": cls.redis.url}

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        gone_s = min(GONE_S, 0.5 * self.options.duration_s)
        await self.split()
        self.sick = True
        await self.redis.outage(self, gone_s)
        self.sick = False
        self.facts["gone_s"] = gone_s

    def due(self) -> tuple[str, ...]:
        # It must have been gone for longer than the rules hold.
        return self.alerts if float(self.facts["gone_s"] or 0) >= HELD_S else ()
