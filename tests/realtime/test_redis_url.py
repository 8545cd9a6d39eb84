"""Where Redis is: one address or Sentinels, for the channel layer, the registry and the cache."""

from __future__ import annotations

import pytest
from channels_redis.utils import create_pool
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.sentinel import SentinelConnectionPool

from realtime.redis_url import CachePool, Sentinels, client, layer_host


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/0", None),
        ("unix:///run/redis.sock", None),
        ("sentinel://a", Sentinels((("a", 26_379),))),
        ("sentinel://a:1,b:2/day", Sentinels((("a", 1), ("b", 2)), "day")),
        ("sentinel://[::1]:5/day/3", Sentinels((("::1", 5),), "day", 3)),
        ("sentinel://:p%40ss@a", Sentinels((("a", 26_379),), login={"password": "p@ss"})),
        ("sentinel://u:p@a/day", Sentinels((("a", 26_379),), "day", login={"username": "u", "password": "p"})),
    ],
)
def test_addresses(url: str, expected: Sentinels | None) -> None:
    assert Sentinels.of(url) == expected


@pytest.mark.parametrize("url", ["sentinel://", "sentinel:///day", "sentinel://a:b", "sentinel://a/day/x", "sentinel://a,,b"])
def test_one_that_cannot_be_right_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL.*sentinel://"):
        Sentinels.of(url)


def test_everything_that_talks_to_redis_asks_the_sentinels() -> None:
    url = "sentinel://u:p@a:1,b:2/day/3"
    pools = [create_pool(layer_host(url)), client(url, 0.7).connection_pool]
    assert all(isinstance(pool, AsyncSentinelPool) for pool in pools)
    pools.append(CachePool.from_url(url))
    assert isinstance(pools[2], SentinelConnectionPool)
    for pool in pools:
        assert pool.service_name == "day"
        assert pool.connection_kwargs["db"] == 3 and pool.connection_kwargs["password"] == "p"
        assert len(pool.sentinel_manager.sentinels) == 2


def test_an_idle_subscription_lives_and_everything_else_has_a_limit() -> None:
    for url in ("redis://a:1/0", "sentinel://a:1"):
        assert layer_host(url)["socket_timeout"] is None
        assert client(url, 0.7).connection_pool.connection_kwargs["socket_timeout"] == 0.7
        assert CachePool.from_url(url).connection_kwargs["socket_timeout"] == 1.0
