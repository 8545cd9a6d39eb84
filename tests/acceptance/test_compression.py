"""Compression with clients that are not ours, and what a client can do wrong with it."""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

import pytest
from playwright.async_api import async_playwright
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.client import Client, Fleet
from realtime.clock import SystemClock
from realtime.closing import CloseCode
from realtime.messages import PROTOCOL, Live, Pub, decode_to_client
from tests.browser import ARGS
from tests.processes import SERVER, Processes, Server

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried]
ROOM = "rose-garden"
PROTOCOL_ERROR = 1002
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"
SPEECH = "The bride's mother speaks before the cake, then the best man, then the band begins; doors stay open. " * 4
IN_THE_PAGE = """
([url, ticket, text]) => new Promise((done, failed) => {
    const socket = new WebSocket(url, ["wedsync.v1", "ticket." + ticket]);
    const texts = [];
    socket.onclose = event => failed(`closed with ${event.code}`);
    socket.onmessage = event => {
        const message = JSON.parse(event.data);
        if (message.t === "live") {
            socket.send(JSON.stringify({t: "publish", id: "page", kind: "chat.guests", data: {text: text}}));
        }
        if (message.t === "error") failed(message.message);
        if (message.t === "pub" && message.kind === "chat.guests") texts.push(message.data.text);
        if (texts.length === 2) done([socket.extensions, texts]);
    };
})
"""


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws/weddings/{ROOM}/"


def joining(server: Server, ticket: str, **options: Any) -> connect:
    """A connection of python-websockets, which offers compression unless told otherwise."""
    return connect(url(server), additional_headers={"Authorization": f"Bearer {ticket}"}, subprotocols=[PROTOCOL], **options)  # type: ignore[list-item]


async def until(client: ClientConnection, kind: type[Live] | type[Pub]) -> Any:
    """The next message of this kind."""
    async with asyncio.timeout(20):
        async for text in client:
            if isinstance(message := decode_to_client(text), kind):
                return message
    raise AssertionError("the connection ended")


async def say(server: Server, ticket: str, fleet: Fleet, text: str) -> None:
    """Come in, publish, leave."""
    client = Client(url(server), ticket, fleet)
    await client.connect()
    await client.publish("chat.guests", {"text": text})
    await client.leave()


def compressed_by(client: ClientConnection, seen: list[bool]) -> None:
    """Note of each message whether it came compressed."""
    extension = client.protocol.extensions[0]
    decode = extension.decode

    def noted(frame: Any, **options: Any) -> Any:
        seen.append(frame.rsv1)
        return decode(frame, **options)

    extension.decode = noted  # type: ignore[method-assign]


@pytest.mark.parametrize("asgi", ["daphne", "uvicorn"])
async def test_chromium_python_and_a_plain_client_hear_the_same(processes: Processes, chromium: str, asgi: str) -> None:
    processes.demo()
    server = await asyncio.to_thread(processes.server, asgi=asgi)
    page_ticket, *tickets = processes.ticket(ROOM, "guest", count=3)
    planner = processes.ticket(ROOM, "planner")[0]
    async with joining(server, tickets[0]) as small, joining(server, tickets[1], compression=None) as plain:
        await until(small, Live)
        await until(plain, Live)
        seen: list[bool] = []
        compressed_by(small, seen)
        async with async_playwright() as playwright, Fleet(SystemClock()) as fleet:
            browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
            try:
                page = await browser.new_page()
                await page.goto(f"{server.url}/login/")
                in_page = asyncio.create_task(page.evaluate(IN_THE_PAGE, [url(server), page_ticket, SPEECH]))
                spoken = [await until(client, Pub) for client in (small, plain)]
                await say(server, planner, fleet, SPEECH[::-1])
                extensions, texts = await asyncio.wait_for(in_page, 20)
                answered = [await until(client, Pub) for client in (small, plain)]
            finally:
                await browser.close()
    assert texts == [SPEECH, SPEECH[::-1]]
    assert [len(bytes(pub.data)) for pub in spoken + answered] == [len(bytes(spoken[0].data))] * 4
    assert spoken[0] == spoken[1] and answered[0] == answered[1] and any(seen)
    if asgi == "daphne":
        assert extensions.startswith(AGREED)
        assert small.response is not None and small.response.headers["Sec-WebSocket-Extensions"].startswith(AGREED)
    else:
        assert "permessage-deflate" in extensions


def masked(payload: bytes) -> bytes:
    """A compressed text frame of a client, with a mask of zeroes (RFC 6455 section 5.2)."""
    return b"\xc1\xfe" + struct.pack("!H", len(payload)) + bytes(4) + payload


def packed(text: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def closed_with(client: ClientConnection, frames: bytes) -> int | None:
    """The code with which the server ends the connection when it gets `frames`."""
    client.transport.write(frames)
    with pytest.raises(ConnectionClosed) as error:
        await until(client, Pub)
    return error.value.rcvd.code if error.value.rcvd is not None else None


async def test_a_bomb_is_refused_and_nobody_else_notices(processes: Processes) -> None:
    ours = SERVER == "daphne"
    processes.demo()
    server = await asyncio.to_thread(processes.server)
    bomber, leaner, guest = processes.ticket(ROOM, "guest", count=3)
    planner = processes.ticket(ROOM, "planner")[0]
    async with joining(server, bomber) as one, joining(server, leaner) as two, joining(server, guest) as other:
        for client in (one, two, other):
            await until(client, Live)
        assert await closed_with(one, masked(packed(bytes(10_000_000)))) == CloseCode.TOO_LARGE
        # Another server has its own deflate, and hangs up by itself.
        assert await closed_with(two, masked(b"\x07\xff\xff" * 60)) == (CloseCode.MALFORMED if ours else PROTOCOL_ERROR)
        async with Fleet(SystemClock()) as fleet:
            await say(server, planner, fleet, SPEECH)
            assert SPEECH in bytes((await until(other, Pub)).data).decode()
    logs = "".join(log.read_text() for log in processes.folder.glob("*daphne.log"))
    assert not ours or ("closed with TOO_LARGE" in logs and "closed with MALFORMED" in logs)
    assert server.process.poll() is None
