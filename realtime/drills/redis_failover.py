"""`drill redis-failover`: the Redis in charge dies, later its successor stands still; Sentinel names another one both times.

Injection: a primary, a replica and three Sentinels. The primary is killed and comes back as a replica; then the new primary is
stopped (SIGSTOP): its connections stay open and are silent, which is harder for whoever listens there. Later it goes on, when
nobody needs it.
Invariant: nothing is lost (what the failover swallowed is found by comparing with the journal), what is durable crosses workers
within a second, no member has to come back.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.exceptions import RedisError

from realtime.drills.layer import LayerDrill
from realtime.drills.owner import tag
from realtime.drills.redis_kill import need as redis_server
from realtime.drills.redis_servers import NOTHING_KEPT, RedisServer, running
from realtime.drills.server import FOLDER, DrillFailed, free_port
from realtime.redis_url import NAME, client

AT, AGAIN_AT, ON_AT = 0.15, 0.5, 0.85
"""Shares of the play: the kill, the standstill, its end."""
SENTINELS, QUORUM = 3, 2
DOWN_MS, FAILOVER_MS = 1_000, 3_000
"""Sentinel gives a server up after the first; it tries the same failover again only after twice the second."""
FAILED_OVER_S = 15.0
SETTLE_S = 3.0
"""After the Sentinels agree, until every worker listens to the new one; all of it counts as the outage."""
POLL_S = 0.05


def sentinel(folder: Path, primary: int) -> RedisServer:
    """Not started. It writes what it learns into a file of its own."""
    path = folder / f"sentinel-{free_port()}.conf"
    lines = [
        f"sentinel monitor {NAME} 127.0.0.1 {primary} {QUORUM}",
        f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
        f"sentinel failover-timeout {NAME} {FAILOVER_MS}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return RedisServer(folder, str(path), "--sentinel")


class RedisFailoverDrill(LayerDrill):
    name = "redis-failover"
    injects = "the Redis in charge is killed, later its successor stands still; Sentinel names another one both times"
    invariant = "0/0/0; delivery goes on across workers, p99 within 1 s; no connection ends"
    recovery = "none to wait for: nobody has to come back"
    needs = (redis_server,)
    minutes = 1.0
    servers: tuple[RedisServer, RedisServer]
    url: str

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-redis-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            primary = RedisServer(folder, *NOTHING_KEPT)
            replica = RedisServer(folder, *NOTHING_KEPT, "--replicaof", f"127.0.0.1 {primary.port}")
            cls.servers = (primary, replica)
            async with running(cls.servers):
                sentinels = [sentinel(folder, primary.port) for _ in range(SENTINELS)]
                cls.url = f"sentinel://{','.join(f'127.0.0.1:{one.port}' for one in sentinels)}/{NAME}"
                async with running(sentinels):
                    yield {"REDIS_URL": cls.url}

    async def inject(self) -> None:
        first, second = self.servers
        duration_s, begin_s = self.options.duration_s, self._clock.monotonic()
        await self._until(begin_s + AT * duration_s)
        await self.split()
        self.injected("the Redis in charge was killed")
        first.kill()
        await self._failed_over(second, "killed_failover_s")
        await first.start("--replicaof", f"127.0.0.1 {second.port}")
        await self._until(begin_s + AGAIN_AT * duration_s)
        self.noticed("Sentinel's new choice stands still")
        os.kill(second.pid, signal.SIGSTOP)
        try:
            await self._failed_over(first, "stopped_failover_s")
            await self._until(begin_s + ON_AT * duration_s)
        finally:
            os.kill(second.pid, signal.SIGCONT)
        self.restored("it goes on, and is in charge of nothing")

    async def _failed_over(self, to: RedisServer, fact: str) -> None:
        """Wait until the Sentinels name `to`, and until everybody listens there. Raises DrillFailed."""
        start_s, self.sick = self._clock.monotonic(), True
        while await self._primary() != to.port:
            if self._clock.monotonic() - start_s > FAILED_OVER_S:
                raise DrillFailed(f"the Sentinels had named nobody else after {FAILED_OVER_S:g} s")
            await self._clock.sleep(POLL_S)
        self.facts[fact] = round(self._clock.monotonic() - start_s, 3)
        await self._clock.sleep(SETTLE_S)
        self.sick = False

    async def _primary(self) -> int:
        """The port of the one that is in charge, as the Sentinels say."""
        asked = client(self.url, 1.0)
        try:
            port: int = (await asked.connection_pool.get_master_address())[1]
        except (OSError, RedisError):
            return 0
        finally:
            await asked.aclose()
        return port

    async def _until(self, at_s: float) -> None:
        await self._clock.sleep(max(0.0, at_s - self._clock.monotonic()))
