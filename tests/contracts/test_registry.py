"""What every registry promises, in memory and in Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as aioredis

from realtime.adapters.registry import MemoryRegistry, RedisRegistry
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.ports import Registry
from realtime.report import Describe, Drain, Move, WeddingReport, WorkerReport
from tests.processes import free_port


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
