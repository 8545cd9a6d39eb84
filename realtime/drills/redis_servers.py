"""Redis servers of a drill's own, on loopback: ended in every case, nothing of them kept."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime.clock import SystemClock
from realtime.drills.server import DrillFailed, free_port
from realtime.fleet import processes

READY_S = 10.0


class RedisServer:
    """One on a TCP port that stays the same when it is started again."""

    def __init__(self, folder: Path, *more: str) -> None:
        """`more`: arguments of redis-server, after those that make it keep nothing."""
        binary = processes.redis_binary()
        if binary is None:
            raise DrillFailed("there is no redis-server here: apt-get install redis-server")
        self.port, self._folder, self._binary, self._more = free_port(), folder, binary, more
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, *more: str) -> Self:
        """Start it, `more` this once, and wait until it answers. Raises DrillFailed."""
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        quiet = ["--loglevel", "warning", "--logfile", str(self._folder / f"{self.port}.log")]
        command = [self._binary, *self._more, *place, *quiet, *more]
        self._process = await asyncio.to_thread(processes.start, command, {})
        await self._answers()
        return self

    async def _answers(self) -> None:
        clock = SystemClock()
        until_s = clock.monotonic() + READY_S
        async with Redis(port=self.port) as client:
            while True:
                try:
                    await client.ping()
                    return
                except (RedisError, OSError):
                    if clock.monotonic() > until_s:
                        raise DrillFailed(f"redis-server did not answer within {READY_S:g} s") from None
                    await clock.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL; also one that stands still."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


NOTHING_KEPT = ("--save", "", "--appendonly", "no")


@asynccontextmanager
async def running(servers: Sequence[RedisServer]) -> AsyncIterator[None]:
    """All of them, one after the other; killed afterwards."""
    try:
        for server in servers:
            await server.start()
        yield
    finally:
        for server in servers:
            await asyncio.to_thread(server.kill)
