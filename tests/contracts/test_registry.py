"""What every registry promises, in memory and in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aioredis
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime.adapters.registry import MemoryRegistry, RedisRegistry
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.ports import Registry
from realtime.report import Describe, Drain, Move, WeddingReport, WorkerReport
from tests.conftest import missing
from tests.processes import Processes, free_port, start_redis


def a_report(worker: str, slot: str, **more: object) -> WorkerReport:
    return WorkerReport(worker, slot, "here", 1, at_s=2.0, started_s=1.0, state="ready", **more)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.acceptance)])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    if request.param == "memory":
        yield MemoryRegistry(SystemClock())
    else:
        url = request.getfixturevalue("redis_url")
        redis = RedisRegistry(url, timeout_s=2.0, prefix=f"{secrets.token_hex(4)}:")
        yield redis
        await redis.stop()


async def test_reports_come_back_by_slot(registry: Registry) -> None:
    weddings = {"rose-garden": WeddingReport({"guest": 3}, latency={12: 4})}
    tenth, second = a_report("b", "w10"), a_report("a", "w2", weddings=weddings, lag_s=0.001, latency={"P0": {7: 1}})
    await registry.report(tenth)
    await registry.report(second)
    assert await registry.reports() == [second, tenth]


async def test_a_report_does_not_change_afterwards(registry: Registry) -> None:
    counting = {"P0": {7: 1}}
    await registry.report(a_report("a", "w1", latency=counting))
    counting["P0"][7] += 1
    assert (await registry.reports())[0].latency == {"P0": {7: 1}}


async def test_orders_are_taken_once(registry: Registry) -> None:
    orders = [Drain("deploy"), Move("rose-garden", "uneven load"), Describe("rose-garden")]
    for order in orders:
        await registry.order("a", order)
    assert await registry.report(a_report("b", "w2")) == []
    assert await registry.report(a_report("a", "w1")) == orders
    assert await registry.report(a_report("a", "w1")) == []


async def test_a_lease_has_one_holder(registry: Registry) -> None:
    assert await registry.hold("control", "a", 30)
    assert await registry.hold("control", "a", 30)
    assert not await registry.hold("control", "b", 30)
    await registry.release("control", "b")
    assert not await registry.hold("control", "b", 30)
    await registry.release("control", "a")
    assert await registry.hold("control", "b", 30)


async def test_a_lease_and_a_note_run_out(registry: Registry) -> None:
    await registry.hold("control", "a", 0.02)
    await registry.note("pin", b"3", 0.02)
    async with asyncio.timeout(5):
        while not await registry.hold("control", "b", 30):
            pass
        while await registry.read("pin") is not None:
            pass
    assert not await registry.hold("control", "a", 30), "the lease has passed on"


async def test_notes_are_read_by_everybody(registry: Registry) -> None:
    assert await registry.read("pin") is None
    await registry.note("pin", b"3", 30)
    assert await registry.read("pin") == b"3"


async def test_a_registry_that_is_away_says_so() -> None:
    away = RedisRegistry(f"redis://127.0.0.1:{free_port()}", timeout_s=0.5)
    with pytest.raises(RegistryUnavailable):
        await away.reports()
    await away.stop()


@pytest.mark.acceptance
async def test_a_report_over_a_connection_that_ended_meanwhile_is_made_over_a_new_one(redis_url: str) -> None:
    registry = RedisRegistry(redis_url, timeout_s=2.0, prefix=f"{secrets.token_hex(4)}:")
    async with aioredis.from_url(redis_url) as redis:
        await registry.report(a_report("a", "w1"))
        await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await registry.order("a", Drain("deploy"))
        assert await registry.report(a_report("a", "w1")) == [Drain("deploy")]
    await registry.stop()


@pytest.mark.acceptance
async def test_the_answer_of_a_report_that_took_too_long_is_not_the_next_ones(redis_url: str) -> None:
    registry = RedisRegistry(redis_url, timeout_s=1.0, prefix=f"{secrets.token_hex(4)}:")
    async with aioredis.from_url(redis_url) as redis:
        await registry.report(a_report("a", "w1"))
        await registry.order("a", Drain("deploy"))
        await redis.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
        with pytest.raises(RegistryUnavailable):
            await registry.report(a_report("a", "w1"))
        await redis.execute_command("CLIENT", "UNPAUSE")
        assert await registry.report(a_report("b", "w2")) == []
        both = asyncio.gather(*(registry.report(a_report(name, name)) for name in ("c", "d")))
        assert await both == [[], []]
    await registry.stop()


@pytest.mark.acceptance
async def test_an_order_whose_answer_did_not_arrive_comes_with_the_next_report(redis_url: str) -> None:
    registry = RedisRegistry(redis_url, timeout_s=2.0, prefix=f"{secrets.token_hex(4)}:")
    assert await registry.report(a_report("a", "w1")) == []
    line, orders = registry._line, [Drain("deploy"), Describe("rose-garden")]
    await registry.order("a", orders[0])
    carried_out = []

    async def cut_off(**asked: Any) -> None:
        carried_out.append(await type(line).read_response(line, **asked))
        await line.disconnect(nowait=True)
        raise RedisConnectionError

    line.read_response = cut_off
    with pytest.raises(RegistryUnavailable):
        await registry.report(a_report("a", "w1"))
    assert len(carried_out) == 2 and all(carried_out), "it was tried again, and Redis did it both times"
    del line.read_response
    await registry.order("a", orders[1])
    assert await registry.report(a_report("a", "w1")) == orders
    assert await registry.report(a_report("a", "w1")) == []
    await registry.stop()


@pytest.mark.acceptance
async def test_it_reports_to_the_redis_that_sentinel_names(processes: Processes, tmp_path: Path) -> None:
    for program, package in (("redis-server", "redis-server"), ("redis-sentinel", "redis-sentinel")):
        if shutil.which(program) is None:
            missing(program, package)
    master, sentinel = free_port(), free_port()
    start_redis(processes, master)
    file = tmp_path / "sentinel.conf"
    file.write_text(f"port {sentinel}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n")
    processes.start("redis-sentinel", str(file), name="sentinel")
    registry = RedisRegistry(f"sentinel://127.0.0.1:{sentinel}", timeout_s=5.0)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(RegistryUnavailable):  # it knows its servers a moment after it has started
                await registry.report(a_report("a", "w1"))
                break
            await asyncio.sleep(0.05)
    assert [report.worker for report in await registry.reports()] == ["a"]
    await registry.stop()
