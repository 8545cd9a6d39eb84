"""WedSync Realtime, started as in production: the way lies in `realtime.drills.server`, with drills and benchmark."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.machine import pin, unpinned
from bench.target import Speech, Target
from realtime.access import issue_ticket
from realtime.clock import SystemClock
from realtime.drills.server import own_server
from realtime.messages import Sender

SPEECH = Speech(
    path="/ws/weddings/{room}/",
    live='{"t":"live"',
    error='{"t":"error"',
    before='{"t":"publish","id":"%i","kind":"bench.tick","data":{"pad":"',
    after='"}}',
    wrap_bytes=140,
    # docs/protocol.md: a ping when nothing came for half of `heartbeat_s`.
    ping='{"t":"ping"}',
    ping_s=12.5,
    resume=True,
)
TICKET_S = 3_600


def ticket(room: str, number: int, role: str = "load") -> str:
    """As a header; what `manage.py tickets --role load --reusable` prints."""
    sender = Sender(f"{room}-{number}", role)
    text = issue_ticket(room, sender, now=SystemClock().now(), ttl_s=TICKET_S, reusable=True)
    return f"Authorization: Bearer {text}"


@contextmanager
def start(folder: Path, core: int, rooms: list[str], *, deflate: bool = False, database_url: str = "") -> Iterator[Target]:
    """One worker. It decides itself whether to compress, for clients that offer it."""
    with asyncio.Runner() as runner:
        server = own_server(rooms, SystemClock(), database_url=database_url)
        found = runner.run(server.__aenter__())
        try:
            pin(found.pid, core)
            yield target([found.url], [found.pid])
        finally:
            runner.run(server.__aexit__(None, None, None))


@contextmanager
def fleet(rooms: list[str], workers: int, database_url: str = "") -> Iterator[tuple[str, int]]:
    """(URL, pid of the supervisor) of a fleet as `manage.py serve` runs it, on any core."""
    with unpinned(), asyncio.Runner() as runner:
        server = own_server(rooms, SystemClock(), workers=workers, database_url=database_url)
        found = runner.run(server.__aenter__())
        try:
            yield found.url, found.pid
        finally:
            runner.run(server.__aexit__(None, None, None))


def target(urls: Sequence[str], pids: Sequence[int]) -> Target:
    """Workers that are running."""
    return Target("wedsync", [int(url.rsplit(":", 1)[1]) for url in urls], pids, SPEECH, header=ticket)
