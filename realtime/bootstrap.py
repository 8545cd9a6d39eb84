"""The only module that names adapters: builds the parts of this process from the settings."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string

from realtime.adapters.dispatch import DispatcherFront
from realtime.adapters.haproxy import HAProxy
from realtime.adapters.kubernetes import KubernetesWorkers
from realtime.adapters.mailbox import LayerMailbox, NoMailbox, group_name
from realtime.adapters.processes import LocalWorkers
from realtime.adapters.registry import MemoryRegistry, RedisRegistry
from realtime.clock import Clock, SystemClock, TurnedClock
from realtime.committer import Committer
from realtime.config import RealtimeConfig
from realtime.departure import Departure
from realtime.hub import Hub
from realtime.journal import Journal
from realtime.parcel import parcel_of
from realtime.patience import answer_within
from realtime.ports import Domain, Front, Mailbox, Registry, Workers
from realtime.publication import Entry
from realtime.services import Services

logger = logging.getLogger(__name__)
T = TypeVar("T")

READ_THREADS = 4
"""Threads that read the journal for joins. More only queue on the database and take the GIL from the loop."""
JOURNAL_PATIENCE_S = 5.0
"""For an answer of the journal's database. Later it counts as away: publications stay with the clients, who ask again. A commit
that is carried out all the same is known by its ids then."""
SWITCH_INTERVAL_S = 0.0005
"""How long a busy thread may keep the interpreter from the loop (design.md D3: 5 ms by default, and felt as latency)."""


def build(config: RealtimeConfig) -> Services:
    """Put one process together. Starts nothing; `Services.start` does."""
    clock = SystemClock()
    domain: Domain = importlib.import_module(config.domain).domain
    journal = Journal(domain, clock)
    layer = get_channel_layer()
    alone = layer is None or isinstance(layer, InMemoryChannelLayer)
    mailbox: Mailbox = (
        NoMailbox()
        if alone
        else LayerMailbox(layer, clock, timeout_s=config.mailbox_timeout_s, queue_max=config.mailbox_queue_max)
    )
    url = settings.REDIS_URL
    registry: Registry = RedisRegistry(url, timeout_s=config.mailbox_timeout_s) if url else MemoryRegistry(clock)
    process = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(3)}"
    reading = in_threads("read", READ_THREADS, JOURNAL_PATIENCE_S)
    hub = Hub(config, journal, mailbox, clock, reading, process)

    writing = in_threads("write", 1, JOURNAL_PATIENCE_S)
    committer = Committer(
        config, journal, clock, writing, committed=hub.committed, provisional=hub.provisional, forget=hub.forget
    )

    async def tell(entries: Sequence[Entry]) -> None:
        async with asyncio.timeout(config.mailbox_timeout_s):
            for entry in entries:
                message = {"type": "parcels", "room": entry.room, "parcels": [parcel_of(process, entry)]}
                await layer.group_send(group_name(entry.room), message)

    def announce(entries: Sequence[Entry]) -> None:
        """Tell the processes that hold members what this one, without a loop of its own, has stored."""
        if alone or not entries:
            return  # they ask the journal every second
        try:
            async_to_sync(tell)(entries)
        except Exception as error:
            logger.warning("the other processes will find by themselves what is new: %r", error)

    return Services(config, clock, domain, journal, mailbox, committer, hub, reading, announce, registry)


def registry_at(url: str) -> Registry:
    """The registry of a fleet whose Redis is at `url`: a private one is known to its supervisor alone."""
    return RedisRegistry(url, timeout_s=settings.REALTIME.mailbox_timeout_s)


def haproxy_at(socket_path: Path, homes: Path) -> HAProxy:
    """The HAProxy with this admin socket and map of moved weddings."""
    return HAProxy(str(socket_path), homes_map=str(homes))


@cache
def services() -> Services:
    """The parts of this process, built from `settings.REALTIME` when first asked for."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return build(settings.REALTIME)


def in_threads(name: str, count: int, patience_s: float) -> Callable[..., Any]:
    """`await run(function, *args)` in one of `count` threads, each with a database connection that is replaced when broken, or
    when it did not answer within `patience_s`.

    Not asgiref's way, which copies contexts, and without Django's question to the database before each use: an error tells as
    much, and every wait beside a busy loop is felt.
    """
    pool = ThreadPoolExecutor(count, name, answer_within, (patience_s,))

    def with_connection(function: Callable[..., T], *args: object) -> T:
        try:
            return function(*args)
        finally:
            for connection in connections.all(initialized_only=True):
                if connection.errors_occurred:  # also where the function has made its peace with it
                    connection.close_if_unusable_or_obsolete()

    async def run(function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, with_connection, function, *args)

    return run


def calendar_clock(config: RealtimeConfig) -> Clock:
    """What time it is for the calendar of weddings: now, or the moment that a rehearsal plays."""
    return TurnedClock.of(config.rehearsal) if config.rehearsal else SystemClock()


def actuators(config: RealtimeConfig) -> tuple[Workers, Front]:
    """What starts and stops the workers of this machine, and what stands in front of them."""
    # The variable is in every container that Kubernetes starts.
    workers = KubernetesWorkers() if "KUBERNETES_SERVICE_HOST" in os.environ else LocalWorkers(settings.VAR_DIR)
    if config.haproxy_socket:
        return workers, HAProxy(config.haproxy_socket, homes_map=config.haproxy_homes)
    return workers, DispatcherFront(settings.VAR_DIR)


def when_running(parts: Services) -> None:
    """Under Daphne: start `parts` as soon as its loop runs, and let it build our protocol. Other servers have a lifespan."""
    if "daphne.server" in sys.modules:
        from realtime.adapters import daphne_server  # only here: importing Twisted chooses a reactor

        daphne_server.install()
        daphne_server.when_running(parts.start, Departure(parts, daphne_server.end).stop)


def run_worker(end: int) -> None:
    """Be a process of the fleet until it is told to end: the application of the project on sockets that are passed to `end`."""
    from realtime.adapters import daphne_worker
    from realtime.fleet.worker import FleetWorker

    application = import_string(settings.ASGI_APPLICATION)
    parts = services()
    daphne_worker.serve(application, end, parts.clock, lambda stop, idle: FleetWorker(parts, stop, idle))
