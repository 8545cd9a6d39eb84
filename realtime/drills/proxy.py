"""A TCP proxy that misbehaves when told: a network for drills that needs no privileges.

`ChaosProxy` stands between clients and a server, `RedisProxy` between a process and Redis. A `FrameTamper` sees every WebSocket
message of the server and may change what the client gets: so one can show that the checker finds what it should find.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, Self

CHUNK_BYTES = 65_536
HELD_MAX = 256
"""Pieces on their way in one direction of one connection."""


class Mode(StrEnum):
    """What happens to bytes and connections. REFUSE closes new ones with a reset and leaves the old ones alone."""

    FORWARD = "forward"
    SILENT = "silent"
    REFUSE = "refuse"


class Stream(Protocol):
    """What comes from the server on one connection: bytes in, bytes out."""

    def feed(self, chunk: bytes) -> bytes: ...


class Way(Protocol):
    """One direction of one connection through a network: when bytes sent at `now_s` are at the other end."""

    def arrival_s(self, now_s: float, n_bytes: int) -> float: ...


class Untouched:
    """Everything as it is."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk


class ChaosProxy:
    """Listens on `host` (a free port unless given) and forwards to (target_host, target_port).

    `stream` makes what filters the server's bytes of a new connection, `way` what a network between does to each direction.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        stream: Callable[[], Stream] = Untouched,
        way: Callable[[], Way] | None = None,
    ) -> None:
        self.way = way
        self.mode = Mode.FORWARD
        self.delay_s = 0.0
        self.host = host
        self.port = port
        self.accepted = 0
        self._target = (target_host, target_port)
        self._stream = stream
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port, backlog=4_096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self._open.set()  # whoever waits to pass finds its connection gone
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        return len(self._links)

    def silent(self) -> None:
        """Connections stay open and new ones are accepted, and nothing gets through either way."""
        self.mode = Mode.SILENT
        self._open.clear()

    def refuse(self) -> None:
        """Nobody new."""
        self.mode = Mode.REFUSE
        self._open.set()

    def forward(self, *, reset: bool = False) -> None:
        """Back to normal. What was held back arrives now, or with `reset` is lost together with its connections."""
        if reset:
            self.cut()
        self.mode = Mode.FORWARD
        self._open.set()

    def cut(self) -> None:
        """Reset every connection, both ways."""
        for link in list(self._links):
            link.reset()

    def delay(self, seconds: float) -> None:
        """From now on everything takes so much longer, each way."""
        self.delay_s = seconds

    async def passage(self) -> None:
        """Returns when bytes may pass."""
        await self._open.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await self.passage()
            if self.mode is Mode.REFUSE:
                return
            await link.run(*self._target, self._stream())
        except OSError:
            pass  # the connection is over; there is nobody to tell
        finally:
            link.reset()
            self._links.discard(link)
            self._tasks.discard(task)


class _Link:
    """One connection through the proxy, both halves."""

    def __init__(self, proxy: ChaosProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]

    async def run(self, host: str, port: int, stream: Stream) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        self._writers.append(writer)
        up = asyncio.create_task(self._pump(self._reader, writer, Untouched()))
        down = asyncio.create_task(self._pump(reader, self._writers[0], stream))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            # What the server said before it closed still has to reach the client.
            if down.done() and not down.cancelled() and down.exception() is None:
                self._writers[0].close()
                await self._writers[0].wait_closed()
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
        loop, way = asyncio.get_running_loop(), self._proxy.way and self._proxy.way()
        held: deque[bytes] = deque()
        room = asyncio.Semaphore(HELD_MAX)

        def arrive() -> None:
            writer.write(held.popleft())
            room.release()

        while chunk := await reader.read(CHUNK_BYTES):
            await self._proxy.passage()
            changed, now_s = stream.feed(chunk), loop.time()
            at_s = now_s + self._proxy.delay_s if way is None else way.arrival_s(now_s + self._proxy.delay_s, len(changed))
            if at_s > now_s or held:
                await room.acquire()  # a slow network must not be filled faster than it empties
                held.append(changed)
                loop.call_at(at_s, arrive)
            elif changed:
                writer.write(changed)
                await writer.drain()

    def reset(self) -> None:
        """RST instead of FIN: the other side learns of it when it next looks, as from a phone out of reach."""
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


# -- WebSocket ----------------------------------------------------------------------------------------------------------

TEXT = 0x1
Tamper = Callable[[int, bytes], list[bytes]]
"""(number of the connection, text of one frame) -> the texts that go out in its place."""


class FrameStream:
    """Lets `tamper` see each unfragmented text frame of a server; everything else passes as it is."""

    def __init__(self, tamper: Tamper, connection: int) -> None:
        self._tamper = tamper
        self._connection = connection
        self._rest = b""
        self._upgraded = False

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk
        out: list[bytes] = []
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return b""
            self._upgraded = True
            out.append(data[: end + 4])
            data = data[end + 4 :]
        while (frame := _frame(data)) is not None:
            head, size = frame
            raw, data = data[: head + size], data[head + size :]
            if raw[0] == 0x80 | TEXT:
                out.extend(text_frame(text) for text in self._tamper(self._connection, raw[head:]))
            else:
                out.append(raw)
        self._rest = data
        return b"".join(out)


def _frame(data: bytes) -> tuple[int, int] | None:
    """(bytes of the header, bytes of the payload) of the first frame, None when it is not complete. RFC 6455 section 5.2."""
    if len(data) < 2:
        return None
    size, head = data[1] & 0x7F, 2
    if size >= 126:
        head = 4 if size == 126 else 10
        if len(data) < head:
            return None
        size = int.from_bytes(data[2:head], "big")
    return (head, size) if len(data) >= head + size else None


def text_frame(text: bytes) -> bytes:
    """One unmasked text frame."""
    if len(text) < 126:
        return bytes((0x80 | TEXT, len(text))) + text
    if len(text) < 65_536:
        return bytes((0x80 | TEXT, 126)) + len(text).to_bytes(2, "big") + text
    return bytes((0x80 | TEXT, 127)) + len(text).to_bytes(8, "big") + text


class FrameTamper:
    """Does one thing wrong, once: to the `nth` frame for `victim` that contains `match`.

    `fault`: drop it, double it, swap it with the next one that matches, or leak: give the victim a frame that contains `secret`
    and was meant for another connection. `done` tells whether it happened. Both connections must pass through one proxy.
    """

    FAULTS = ("drop", "double", "swap", "leak")

    def __init__(self, fault: str, victim: str, *, nth: int = 2, match: bytes = b'"offset":', secret: bytes = b"") -> None:
        if fault not in self.FAULTS:
            raise ValueError(f"fault {fault!r}: one of {', '.join(self.FAULTS)}")
        self.done = False
        self._fault = fault
        self._victim = b'"member":"%b"' % victim.encode()
        self._nth = nth
        self._match = match
        self._secret = secret
        self._victims: set[int] = set()
        self._seen = 0
        self._held: bytes | None = None
        self._stolen: bytes | None = None
        self._connections = 0

    def stream(self) -> FrameStream:
        """For `ChaosProxy(stream=...)`."""
        self._connections += 1
        return FrameStream(self, self._connections)

    def __call__(self, connection: int, text: bytes) -> list[bytes]:
        if text.startswith(b'{"t":"welcome"'):
            if self._victim in text:
                self._victims.add(connection)
            return [text]
        if connection not in self._victims:
            if self._secret and self._stolen is None and self._secret in text and text.startswith(b'{"t":"pub"'):
                self._stolen = text
            return [text]
        if self.done or not text.startswith(b'{"t":"pub"') or self._match not in text:
            return [text]
        self._seen += 1
        return self._spoil(text) if self._seen >= self._nth else [text]

    def _spoil(self, text: bytes) -> list[bytes]:
        match self._fault:
            case "drop":
                self.done = True
                return []
            case "double":
                self.done = True
                return [text, text]
            case "swap" if self._held is None:
                self._held = text
                return []
            case "swap":
                assert self._held is not None
                self.done = True
                return [text, self._held]
            case _ if self._stolen is not None:
                self.done = True
                return [text, self._stolen]
        return [text]


# -- Redis --------------------------------------------------------------------------------------------------------------


class RedisProxy(ChaosProxy):
    """Between a process and Redis. Pushed `message`s that contain one of `swallow` never arrive; `swallowed` counts them."""

    def __init__(self, target_host: str, target_port: int, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(target_host, target_port, host=host, port=port, stream=lambda: RespStream(self._keep))
        self.swallow: set[bytes] = set()
        self.swallowed = 0

    def _keep(self, reply: bytes) -> bool:
        if not (self.swallow and reply[:1] in b"*>" and b"message\r\n" in reply[:24]):
            return True
        hit = any(marker in reply for marker in self.swallow)
        self.swallowed += hit
        return not hit


class RespStream:
    """Cuts what Redis says into replies and drops those that `keep` does not want. RESP2 and RESP3."""

    def __init__(self, keep: Callable[[bytes], bool]) -> None:
        self._keep = keep
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk
        out: list[bytes] = []
        start = 0
        while (end := reply_end(data, start)) is not None:
            reply = data[start:end]
            if self._keep(reply):
                out.append(reply)
            start = end
        self._rest = data[start:]
        return b"".join(out)


def reply_end(data: bytes, start: int) -> int | None:
    """Where the reply that begins at `start` ends, None when it is not complete."""
    left = 1
    while left:
        line = data.find(b"\r\n", start)
        if line < 0:
            return None
        kind, number = data[start : start + 1], data[start + 1 : line]
        start, left = line + 2, left - 1
        if kind in b"$=!" and int(number) >= 0:
            start += int(number) + 2
            if start > len(data):
                return None
        elif kind in b"*>~" and int(number) > 0:
            left += int(number)
        elif kind in b"%|":
            left += 2 * int(number) + (kind == b"|")
    return start
