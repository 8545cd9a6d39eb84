"""A broadcast server that does harm on purpose: loses, doubles or swaps a publication, splits and joins frames, compresses."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Callable
from typing import Any

Harm = Callable[[list[bytes]], list[bytes]]
"""What one member gets, given everything the server wants to send it, frame by frame."""


def swap(frames: list[bytes]) -> list[bytes]:
    """The third and the fourth change places."""
    return [*frames[:2], frames[3], frames[2], *frames[4:]] if len(frames) > 3 else frames


class TinyServer:
    """Echoes each text to all members of its path when `expected` of them have come, through `harm`, to the first member only.
    The text with the number `refuses` is echoed to nobody, and the first member is told so.

    Runs in a thread of its own, since the load generator's answers are waited for in this one.
    """

    def __init__(self, harm: Harm, *, batch: int, piece: int = 0, deflate: bool = False, refuses: int | None = None) -> None:
        self.port = 0
        self._harm, self._batch, self._piece, self._deflate, self._refuses = harm, batch, piece, deflate, refuses
        self._members: list[asyncio.StreamWriter] = []
        self._texts: list[bytes] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> TinyServer:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        async def serve() -> Any:
            return await asyncio.start_server(self._member, "127.0.0.1", 0)

        server = self._loop.run_until_complete(serve())
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        for writer in self._members:
            writer.transport.abort()
        self._loop.run_until_complete(asyncio.wait_for(asyncio.sleep(0.01), 1))
        self._loop.close()

    async def _member(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        extension = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n" if self._deflate else b""
        assert (b"permessage-deflate" in head) == self._deflate
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + extension + b"\r\n")
        self._members.append(writer)
        while True:
            self._texts.append(await _masked_text(reader))
            if len(self._texts) == self._batch:
                frames = [self._frame(text) for text in self._texts]
                self._texts = []
                if self._refuses is not None:
                    del frames[self._refuses]
                    await self._send(self._members[0], self._frame(b'{"t":"error","code":"x","ref":"%d"}' % self._refuses))
                for place, member in enumerate(self._members):
                    await self._send(member, b"".join(self._harm(frames) if place == 0 else frames))

    def _frame(self, text: bytes) -> bytes:
        first = 0x81
        if self._deflate:
            packer = zlib.compressobj(wbits=-12)
            text = (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
            first = 0xC1
        size = bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big")
        return bytes([first]) + size + text

    async def _send(self, member: asyncio.StreamWriter, data: bytes) -> None:
        step = self._piece or len(data)
        for start in range(0, len(data), step):
            member.write(data[start : start + step])
            await member.drain()
            await asyncio.sleep(0)


async def _masked_text(reader: asyncio.StreamReader) -> bytes:
    size = (await reader.readexactly(2))[1] & 127
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    return bytes(byte ^ mask[i & 3] for i, byte in enumerate(data))
