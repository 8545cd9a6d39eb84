"""`drill redis-slow`: the Redis between the workers is slow for a while, then says nothing at all, then is well again.

Injection: a proxy before Redis delays everything by 200 ms each way, and later holds everything back. Connections stay open:
nothing fails, it only does not come.
Invariant: nothing is lost, what is durable crosses workers within a second, and no member has to come back.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from realtime.drills.layer import LayerDrill
from realtime.drills.owner import tag
from realtime.drills.proxy import ChaosProxy
from realtime.drills.redis_kill import need as redis_server
from realtime.drills.redis_servers import NOTHING_KEPT, RedisServer, running
from realtime.drills.server import FOLDER

AT, SLOW, SILENT = 0.2, 0.3, 0.2
"""Shares of the play: when it begins, how long everything is late, how long nothing comes."""
DELAY_S = 0.2


class RedisSlowDrill(LayerDrill):
    name = "redis-slow"
    injects = "the Redis between the workers answers 0.4 s late, then not at all, and its connections stay open"
    invariant = "0/0/0; delivery goes on across workers, p99 within 1 s; no connection ends"
    recovery = "none to wait for: nobody has to come back"
    needs = (redis_server,)
    minutes = 0.7
    proxy: ChaosProxy

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-redis-", ignore_cleanup_errors=True) as folder:
            redis = RedisServer(Path(folder), *NOTHING_KEPT)
            async with running([redis]), ChaosProxy("127.0.0.1", redis.port) as cls.proxy:
                yield {"REDIS_URL": f"redis://127.0.0.1:{cls.proxy.port}/0"}

    async def inject(self) -> None:
        duration_s = self.options.duration_s
        await self._clock.sleep(AT * duration_s)
        await self.split()
        self.sick = True
        self.injected(f"everything from and to Redis takes {DELAY_S:g} s longer")
        self.proxy.delay(DELAY_S)
        await self._clock.sleep(SLOW * duration_s)
        self.proxy.silent()
        await self._clock.sleep(SILENT * duration_s)
        self.proxy.delay(0.0)
        self.proxy.forward()
        self.sick = False
        self.restored("Redis is as quick as before")
        self.facts |= {"late_s": round(SLOW * duration_s, 1), "silent_s": round(SILENT * duration_s, 1)}
