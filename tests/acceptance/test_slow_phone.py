"""A phone that does not read, on a real server."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from contextlib import AsyncExitStack, closing

import psutil
import pytest

from realtime.client import Client, Fleet
from realtime.client_events import Event, Received, SnapshotTaken
from realtime.clock import SystemClock
from tests.processes import Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.daphne]
ROOM = "rose-garden"
PUBLICATIONS, TEXT = 4_000, "x" * 1_900


def deaf(port: int, ticket: str) -> socket.socket:
    """A connection whose other end never reads: the upgrade is asked for, and that is all."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    raw.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    raw.sendall(
        f"GET /ws/weddings/{ROOM}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {ticket}\r\n\r\n".encode()
    )
    return raw


def rest(raw: socket.socket) -> bytes:
    """Everything that was on its way to the deaf one, until the end."""
    raw.settimeout(5)
    found = bytearray()
    try:
        while chunk := raw.recv(1 << 16):
            found += chunk
    except ConnectionResetError:
        return bytes(found)
    return bytes(found)


async def test_it_is_closed_the_memory_stays_and_everything_durable_is_there_on_return(processes: Processes) -> None:
    processes.demo()
    server = await asyncio.to_thread(processes.server)
    memory = psutil.Process(server.process.pid)
    speaker, listener, phone = (
        processes.ticket(ROOM, "load")[0],
        processes.ticket(ROOM, "guest")[0],
        processes.ticket(ROOM, "guest")[0],
    )
    url = f"ws://127.0.0.1:{server.port}/ws/weddings/{ROOM}/"
    heard: list[int] = []

    def hear(event: Event) -> None:
        if isinstance(event, Received) and event.pub.kind == "chat.guests":
            heard.append(event.pub.offset)

    async with Fleet(SystemClock()) as fleet, AsyncExitStack() as stack:
        say, listen = Client(url, speaker, fleet), Client(url, listener, fleet, on_event=hear)
        await asyncio.gather(say.connect(), listen.connect())
        sockets = [stack.enter_context(closing(deaf(server.port, phone))) for _ in range(20)]
        await say.publish("chat.guests", {"text": TEXT})
        before = memory.memory_info().rss
        for _ in range(PUBLICATIONS // 100):
            stored = await asyncio.gather(*(say.publish("chat.guests", {"text": TEXT}) for _ in range(100)))
        grown = memory.memory_info().rss - before
        position = max(ok.offset for ok in stored)
        while listen.session.position != position:
            await asyncio.sleep(0.01)
        ends = [await asyncio.to_thread(rest, raw) for raw in sockets]
        back: list[Event] = []
        again = Client(url, phone, fleet, on_event=back.append)
        await again.connect()
        assert again.session.position == position and any(isinstance(event, SnapshotTaken) for event in back)
        for client in (say, listen, again):
            await client.leave()
    assert len(heard) == PUBLICATIONS + 1 and heard == sorted(set(heard))
    assert all(len(end) < PUBLICATIONS * len(TEXT) for end in ends), "the deaf ones were cut off, not waited for"
    # 20 outboxes of 1 MiB may fill for a moment; 20 x 8 MB of what was said may not.
    assert grown < 60 * 1_048_576, f"{grown / 1_048_576:.0f} MiB"
