"""Two servers with Redis between them: nothing is lost, doubled, reordered or leaked, whatever happens to Redis."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from realtime.drills.proxy import RedisProxy
from realtime.others import FLEET
from tests.acceptance.crowd import MIX, Crowd
from tests.processes import Processes

pytestmark = pytest.mark.acceptance
ROOM = "rose-garden"
PATIENCE_S = 20.0
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


@pytest.mark.unhurried
async def test_two_thousand_publications_from_both_sides(processes: Processes, redis_url: str) -> None:
    proxy, urls = await start(processes, redis_url)
    async with Crowd(processes, ROOM, urls, MIX) as crowd:
        await asyncio.gather(crowd.talk(0, SHARES, "a"), crowd.talk(1, SHARES, "b"))
        await crowd.settled()
    assert_perfect(crowd, 2_008)
    await proxy.__aexit__()


@pytest.mark.unhurried
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


class Spy:
    """Hears what processes tell each other, of the room and of what they hold."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Any = Redis.from_url(redis_url)
        self._heard: Any = self._redis.pubsub()
        self.told: list[bytes] = []

    async def __aenter__(self) -> Spy:
        await self._heard.psubscribe(f"*room.{ROOM}*", f"*room.{FLEET}*")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._heard.aclose()
        await self._redis.aclose()

    async def until(self, part: bytes) -> None:
        """Listen until something with `part` in it comes."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self._heard.listen():
                if message["type"] == "pmessage":
                    self.told.append(message["data"])
                    if part in message["data"]:
                        return


@pytest.mark.unhurried
async def test_one_that_is_alone_tells_nobody_and_whoever_comes_meanwhile_misses_nothing(
    processes: Processes, redis_url: str
) -> None:
    processes.demo()
    env = {"REDIS_URL": redis_url, "WEDSYNC_PRESENCE_REFRESH_S": "2"}
    servers = [await asyncio.to_thread(processes.server, **env) for _ in range(2)]
    urls = [server.url.replace("http", "ws") for server in servers]
    async with Crowd(processes, ROOM, urls, MIX, late=[1]) as crowd, Spy(redis_url) as spy:
        for alone_n in range(20):  # it is sure after five seconds
            await crowd.say(0, 0, "chat.crew", {"text": f"anybody {alone_n}?"}, f"alone{alone_n}")
            for _ in range(2):  # the first may have been on its way before that
                await spy.until(b"holds")
            if not any(b"anybody %d?" % alone_n in told for told in spy.told):
                break
        assert 0 < alone_n < 19
        talk = asyncio.gather(crowd.talk(0, SHARES, "a"))
        while len(crowd.history.messages) < 300:
            await asyncio.sleep(0.01)
        await crowd.come(1)
        await asyncio.gather(talk, crowd.talk(1, SHARES, "b"))
        await crowd.settled()
        await crowd.say(0, 0, "chat.crew", {"text": "to the others"}, "last")
        await spy.until(b"to the others")
        await crowd.settled()
    assert_perfect(crowd, 2_008 + alone_n + 2)


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
