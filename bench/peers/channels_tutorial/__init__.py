"""The chat of the Channels tutorial (part 3, asynchronous) on Daphne, with either layer of channels-redis and its defaults."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import CannotMeasure, free_port, running
from bench.target import Speech, Target

LAYERS = {
    "channels-core": "channels_redis.core.RedisChannelLayer",
    "channels-pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
SPEECH = Speech(path="/ws/chat/{room}/", before='{"message": "', after='"}', wrap_bytes=15)


def missing() -> str:
    """What to install."""
    return "" if shutil.which("redis-server") else "Redis: apt-get install redis-server"


@contextmanager
def _start(name: str, folder: Path, core: int) -> Iterator[Target]:
    if hint := missing():
        raise CannotMeasure(f"{name}: {hint}")
    redis_port, port = free_port(), free_port()
    redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command = [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port)]
    env = {"LAYER": LAYERS[name], "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "DJANGO_SETTINGS_MODULE": ""}
    with (
        running([*redis, "--dir", str(folder)], core, folder / "redis.log", port=redis_port) as store,
        running(
            [*command, "bench.peers.channels_tutorial.site:application"], core, folder / "daphne.log", port=port, env=env
        ) as process,
    ):
        yield Target(name, [port], [process.pid], SPEECH, helpers=[store.pid])


@contextmanager
def start_core(folder: Path, core: int, rooms: list[str], *, deflate: bool = False) -> Iterator[Target]:
    """With the core layer."""
    if deflate:
        raise CannotMeasure("Daphne negotiates no compression")
    with _start("channels-core", folder, core) as target:
        yield target


@contextmanager
def start_pubsub(folder: Path, core: int, rooms: list[str], *, deflate: bool = False) -> Iterator[Target]:
    """With the pub/sub layer."""
    if deflate:
        raise CannotMeasure("Daphne negotiates no compression")
    with _start("channels-pubsub", folder, core) as target:
        yield target
