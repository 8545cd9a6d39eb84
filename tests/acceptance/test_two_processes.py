"""Two servers with Redis between them: nothing is lost, doubled, reordered or leaked, whatever happens to Redis."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from realtime.drills.proxy import RedisProxy
from tests.acceptance.crowd import MIX, Crowd
from tests.processes import Processes

pytestmark = pytest.mark.acceptance
ROOM = "rose-garden"
SHARES = {"planner": 160, "couple": 44, "vendor": 44, "guest": 2}
"""1,004 publications a side: 4 x 160 + 3 x 44 + 5 x 44 + 6 x 2."""


async def start(processes: Processes, redis_url: str) -> tuple[RedisProxy, list[str]]:
    """The two servers, the second of them behind a proxy to Redis that can be told to misbehave."""
    parts = urlsplit(redis_url)
    proxy = await RedisProxy(parts.hostname or "", parts.port or 0).__aenter__()
    processes.demo()
    first = await asyncio.to_thread(processes.server, REDIS_URL=redis_url)
    second = await asyncio.to_thread(processes.server, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
    return proxy, [server.url.replace("http", "ws") for server in (first, second)]


def assert_perfect(crowd: Crowd, published: int) -> None:
    report = crowd.report()
    assert report.violations == []
    assert report.unanswered == 0
    assert sum(message.sent for message in crowd.history.messages) == published
    assert report.expected > published


async def test_two_thousand_publications_from_both_sides(processes: Processes, redis_url: str) -> None:
    proxy, urls = await start(processes, redis_url)
    async with Crowd(processes, ROOM, urls, MIX) as crowd:
        await asyncio.gather(crowd.talk(0, SHARES, "a"), crowd.talk(1, SHARES, "b"))
        await crowd.settled()
    assert_perfect(crowd, 2_008)
    await proxy.__aexit__()


async def test_redis_is_cut_in_the_middle(processes: Processes, redis_url: str) -> None:
    proxy, urls = await start(processes, redis_url)
    async with Crowd(processes, ROOM, urls, MIX) as crowd:
        talk = asyncio.gather(crowd.talk(0, SHARES, "a"), crowd.talk(1, SHARES, "b"))
        while len(crowd.history.messages) < 700:
            await asyncio.sleep(0.01)
        proxy.refuse()
        proxy.cut()
        while len(crowd.history.messages) < 1_400:
            await asyncio.sleep(0.01)
        proxy.forward()
        await talk
        await crowd.settled()
    assert_perfect(crowd, 2_008)
    await proxy.__aexit__()


async def test_the_loss_of_the_very_last_publication_is_noticed_within_two_seconds(
    processes: Processes, redis_url: str
) -> None:
    proxy, urls = await start(processes, redis_url)
    async with Crowd(processes, ROOM, urls, {"planner": 2, "guest": 2}) as crowd:
        await crowd.talk(0, {"planner": 5}, "a")
        await crowd.settled()
        proxy.swallow.add(b"the very last one")
        await crowd.say(0, 0, "chat.guests", {"text": "the very last one"}, "last")
        assert await crowd.settled() < 2.0
    assert proxy.swallowed >= 1
    assert_perfect(crowd, 11)
    await proxy.__aexit__()
