"""Registries: in memory for a process that is alone, in Redis for a fleet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

from hiredis import pack_command
from msgspec import MsgspecError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from realtime.clock import Clock
from realtime.errors import RegistryUnavailable
from realtime.redis_url import client, close
from realtime.report import AnyOrder, WorkerReport, decode_order, decode_report, encode_order, encode_report

logger = logging.getLogger(__name__)
T = TypeVar("T")

REPORT_TTL_S = 5.0
"""Five reports: one that is late is not an end; longer, and a dead worker is believed."""
ORDER_TTL_S = 30.0
ORDERS_MAX = 100


class MemoryRegistry:
    """Of one process: `realtime.ports.Registry` without anybody else."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reports: dict[str, tuple[float, WorkerReport]] = {}
        self._orders: dict[str, list[tuple[float, AnyOrder]]] = {}
        self._leases: dict[str, tuple[float, str]] = {}
        self._notes: dict[str, tuple[float, bytes]] = {}

    async def report(self, report: WorkerReport) -> list[AnyOrder]:
        now_s = self._clock.monotonic()
        # A copy, as through Redis: the histograms in a report go on counting.
        self._reports[report.worker] = (now_s + REPORT_TTL_S, decode_report(encode_report(report)))
        return [order for until_s, order in self._orders.pop(report.worker, []) if until_s > now_s]

    async def reports(self) -> list[WorkerReport]:
        now_s = self._clock.monotonic()
        self._reports = {name: kept for name, kept in self._reports.items() if kept[0] > now_s}
        return sorted((report for _, report in self._reports.values()), key=_by_slot)

    async def order(self, worker: str, order: AnyOrder) -> None:
        orders = self._orders.setdefault(worker, [])
        orders.append((self._clock.monotonic() + ORDER_TTL_S, order))
        del orders[:-ORDERS_MAX]

    async def hold(self, lease: str, holder: str, ttl_s: float) -> bool:
        now_s = self._clock.monotonic()
        until_s, held_by = self._leases.get(lease, (0.0, ""))
        if until_s > now_s and held_by != holder:
            return False
        self._leases[lease] = (now_s + ttl_s, holder)
        return True

    async def release(self, lease: str, holder: str) -> None:
        if self._leases.get(lease, (0.0, ""))[1] == holder:
            del self._leases[lease]

    async def note(self, name: str, content: bytes, ttl_s: float) -> None:
        self._notes[name] = (self._clock.monotonic() + ttl_s, content)

    async def read(self, name: str) -> bytes | None:
        until_s, content = self._notes.get(name, (0.0, b""))
        return content if until_s > self._clock.monotonic() else None

    async def stop(self) -> None:
        pass


# Orders are kept until the next report says that they have arrived: the connection may end before the answer is there. A script
# is half the work of a transaction for who asks.
_REPORT = """
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
redis.call('sadd', KEYS[2], ARGV[3])
if ARGV[4] == '1' then redis.call('del', KEYS[4]) end
for _, order in ipairs(redis.call('lrange', KEYS[3], 0, -1)) do redis.call('rpush', KEYS[4], order) end
redis.call('del', KEYS[3])
redis.call('pexpire', KEYS[4], ARGV[5])
return redis.call('lrange', KEYS[4], 0, -1)
"""
# Only the holder may renew or give back a lease, and nobody may come in between the question and the answer.
_HOLD = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"


class RedisRegistry:
    """Of a fleet. Every call ends within `timeout_s`; it fails with `RegistryUnavailable` and is worth trying again."""

    def __init__(self, url: str, *, timeout_s: float, prefix: str = "wedsync:") -> None:
        self._redis: Any = client(url, timeout_s)
        self._timeout_s = timeout_s
        self._prefix = prefix
        # For reports: what a pool does around each call costs more than the call. It connects when it is needed.
        self._line = self._redis.connection_pool.make_connection()
        self._line.socket_timeout = None  # `_done` ends it
        self._reporting = asyncio.Lock()
        self._arrived = False
        """Whether the answer to the last report did."""

    async def report(self, report: WorkerReport) -> list[AnyOrder]:
        worker = report.worker
        keys = [self._key("worker", worker), self._key("workers"), self._key("orders", worker), self._key("given", worker)]
        said = encode_report(report), _ms(REPORT_TTL_S), worker
        return [decode_order(order) for order in await self._done(self._answer("EVAL", _REPORT, len(keys), *keys, *said))]

    async def reports(self) -> list[WorkerReport]:
        names = [name.decode() for name in await self._done(self._redis.smembers(self._key("workers")))]
        if not names:
            return []
        found = await self._done(self._redis.mget([self._key("worker", name) for name in names]))
        gone = [name for name, raw in zip(names, found, strict=True) if raw is None]
        if gone:
            await self._done(self._redis.srem(self._key("workers"), *gone))
        return sorted((report for raw in found if raw is not None and (report := _readable(raw))), key=_by_slot)

    async def order(self, worker: str, order: AnyOrder) -> None:
        key = self._key("orders", worker)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.rpush(key, encode_order(order))
            pipeline.ltrim(key, -ORDERS_MAX, -1)
            pipeline.pexpire(key, _ms(ORDER_TTL_S))
            await self._done(pipeline.execute())

    async def hold(self, lease: str, holder: str, ttl_s: float) -> bool:
        return bool(await self._done(self._redis.eval(_HOLD, 1, self._key("lease", lease), holder, _ms(ttl_s))))

    async def release(self, lease: str, holder: str) -> None:
        await self._done(self._redis.eval(_RELEASE, 1, self._key("lease", lease), holder))

    async def note(self, name: str, content: bytes, ttl_s: float) -> None:
        await self._done(self._redis.set(self._key("note", name), content, px=_ms(ttl_s)))

    async def read(self, name: str) -> bytes | None:
        content: bytes | None = await self._done(self._redis.get(self._key("note", name)))
        return content

    async def stop(self) -> None:
        with suppress(RedisError, OSError):  # who does not answer need not hear that this is the end
            await self._line.disconnect()
        await close(self._redis)

    async def _answer(self, *command: str | bytes | int) -> list[bytes]:
        async with self._reporting:
            try:
                return await self._asked(command)
            except RedisConnectionError:  # it ended since the last report: a new one may well answer
                return await self._asked(command)

    async def _asked(self, command: tuple[str | bytes | int, ...]) -> list[bytes]:
        # What goes wrong, a call that is cut off among it, ends the connection: its answer is never taken for another's.
        await self._line.connect()  # where Sentinel says; nothing to do as a rule
        arrived, self._arrived = self._arrived, False
        packed = pack_command((*command, int(arrived), _ms(ORDER_TTL_S)))  # type: ignore[arg-type]  # of any length
        await self._line.send_packed_command([packed], check_health=False)
        answer: list[bytes] = await self._line.read_response(disable_decoding=True)
        self._arrived = True
        return answer

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    async def _done(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except (RedisError, OSError, TimeoutError) as error:
            raise RegistryUnavailable(f"Redis does not answer: {error!r}") from error


def _readable(raw: bytes) -> WorkerReport | None:
    """The report; None for one of another release that cannot be read: the others count all the same."""
    try:
        return decode_report(raw)
    except MsgspecError as error:
        logger.warning("a worker's report cannot be read: %s", error)
        return None


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1_000))


def _by_slot(report: WorkerReport) -> tuple[int, str, str]:
    return len(report.slot), report.slot, report.worker
