"""Where is Redis? One address, or Sentinels that know which of several is in charge. Everything here that talks to Redis asks.

`sentinel://user:password@host:port,host:port/name/db`: the credentials are those of the Redis servers; name and database may be
left out ("mymaster", 0). Each new connection asks the Sentinels again. Sentinel ends the connections to a server that has been
replaced, as soon as it can reach it.
"""

from __future__ import annotations

import re
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import redis.asyncio as aioredis
from msgspec import Struct
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

SENTINEL_PORT = 26_379
NAME = "mymaster"
ASK_S = 0.5
"""For one Sentinel to answer: the next one knows the same."""
CONNECT_S = 2.0
CACHE_S = 1.0
"""The cache only remembers used tickets: a join must not wait for longer, and goes on without it."""
_FORM = "sentinel://[user:password@]host:port[,host:port...][/name[/database]]"


class Sentinels(Struct, frozen=True):
    """Who to ask. `addresses`: (host, port); `login`: username and password of the Redis servers."""

    addresses: tuple[tuple[str, int], ...]
    name: str = NAME
    database: int = 0
    login: dict[str, str] = {}

    @classmethod
    def of(cls, url: str) -> Self | None:
        """None for any other URL. Raises ValueError with a sentence for one that cannot be right."""
        parts = urlsplit(url)
        if parts.scheme != "sentinel":
            return None
        who, _, hosts = parts.netloc.rpartition("@")
        user, _, password = who.partition(":")
        login = {"username": unquote(user), "password": unquote(password)}
        name, _, database = parts.path.strip("/").partition("/")
        if not re.fullmatch(r"\d*", database) or not hosts:
            raise ValueError(f"REDIS_URL: expected {_FORM}")
        return cls(
            tuple(_address(host) for host in hosts.split(",")),
            name or NAME,
            int(database or 0),
            {key: value for key, value in login.items() if value},
        )

    def asking(self, retry: type[Retry] | type[AsyncRetry]) -> dict[str, Any]:
        """How to ask one of them: briefly, and once."""
        return {"socket_timeout": ASK_S, "socket_connect_timeout": ASK_S, "retry": retry(NoBackoff(), 0)}


def _address(text: str) -> tuple[str, int]:
    """Of "host", "host:port", "[::1]:port"."""
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d+))?", text)
    if found is None:  # it may be a part of the password
        raise ValueError(f"REDIS_URL: expected {_FORM}")
    return found[1].strip("[]"), int(found[2] or SENTINEL_PORT)


def checked(url: str) -> str:
    """The same. Raises ValueError with a sentence for one that cannot be right; nobody is asked."""
    try:
        if url and urlsplit(url).scheme != "sentinel":
            ConnectionPool.from_url(url)
    except ValueError:  # what it says may hold a part of the password
        raise ValueError(f"REDIS_URL: expected redis://host:port/0, rediss://..., unix://... or {_FORM}") from None
    Sentinels.of(url)
    return url


def layer_host(url: str) -> dict[str, Any]:
    """One of the `hosts` of channels-redis. Reads have no time limit: redis-py's default of 5 s kills an idle subscription."""
    never_ends = {"socket_timeout": None, "socket_connect_timeout": CONNECT_S}
    sentinels = Sentinels.of(url)
    if sentinels is None:
        return {"address": url} | never_ends
    where = {"sentinels": sentinels.addresses, "master_name": sentinels.name, "sentinel_kwargs": sentinels.asking(AsyncRetry)}
    return where | {"db": sentinels.database} | sentinels.login | never_ends


def client(url: str, timeout_s: float) -> Any:
    """An asyncio client every call of which ends within `timeout_s`."""
    limits: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    sentinels = Sentinels.of(url)
    if sentinels is None:
        return aioredis.Redis.from_url(url, **limits)
    whom: Any = AsyncSentinel(sentinels.addresses, sentinel_kwargs=sentinels.asking(AsyncRetry))  # type: ignore[no-untyped-call]
    return whom.master_for(sentinels.name, db=sentinels.database, **sentinels.login, **limits)


async def close(redis: Any) -> None:
    """A `client`, and its connections to the Sentinels."""
    await redis.aclose()
    manager = getattr(redis.connection_pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()


class CachePool:
    """Makes the connection pools of Django's cache (`OPTIONS: pool_class`)."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> ConnectionPool:
        """For one address or for Sentinels."""
        limits = {"socket_timeout": CACHE_S, "socket_connect_timeout": CACHE_S}
        sentinels = Sentinels.of(url)
        if sentinels is None:
            return ConnectionPool.from_url(url, **limits, **options)
        whom = Sentinel(sentinels.addresses, sentinel_kwargs=sentinels.asking(Retry))  # type: ignore[no-untyped-call]
        more = limits | options | sentinels.login | {"db": sentinels.database}
        return SentinelConnectionPool(sentinels.name, whom, **more)  # type: ignore[no-untyped-call]
