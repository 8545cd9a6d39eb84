"""`drill redis-kill`: the Redis between the workers is killed, is gone for a while, and comes back empty."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from realtime.drills.layer import LayerDrill
from realtime.drills.server import DrillFailed
from realtime.fleet import processes

AT = 0.2
GONE_S = 30.0


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


@asynccontextmanager
async def own_redis() -> AsyncIterator[OwnRedis]:
    """Started, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="wedsync-redis-") as folder:
        redis = OwnRedis(Path(folder))
        await asyncio.to_thread(redis.start)
        try:
            yield redis
        finally:
            await asyncio.to_thread(redis.kill)


class RedisKillDrill(LayerDrill):
    name = "redis-kill"
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
        await asyncio.to_thread(self.redis.kill)
        self.sick = True
        await self._clock.sleep(gone_s)
        self.sick = False
        await asyncio.to_thread(self.redis.start)
        self.facts["gone_s"] = gone_s
