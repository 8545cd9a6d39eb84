"""`drill poison`: broken and hostile clients, one after the other, while everybody else is talking."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random

from realtime.drills.faults import FaultDrill
from realtime.drills.poisons import NO_FRAME, POISONS, Poison, close_code
from realtime.messages import PROTOCOL, Sender

AT = 0.1
END_S = 10.0
"""From the first byte of it to the end of the connection, unless the poison is slowness itself."""
SLOW_S = 30.0
"""So long somebody may take to say a request in drops."""
DROP_S = 0.5
NEWCOMERS = 10
READ_BYTES = 65_536
SAID_MAX_BYTES = 4 * 1_048_576
STILL_OPEN = -1
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"


class PoisonDrill(FaultDrill):
    name = "poison"
    injects = (
        "invalid UTF-8, a message of 1 MB, deep JSON, wrong types, unknown kinds, a deflate bomb, endless fragments, broken "
        "frames, random bytes, a request that comes in drops"
    )
    invariant = "0/0/0; each ends with the right close code, no process ends, P0 and P1 p99 within 100 ms, newcomers get in"
    recovery = f"none to wait for; what is poisonous is gone within {END_S:g} s, a slow request within {SLOW_S:g} s"
    judge_latency = True

    async def inject(self) -> None:
        await self._clock.sleep(AT * self.options.duration_s)
        self._wrong: list[str] = []
        before = await self.pids()
        self.injected("broken and hostile clients come")
        slow = [asyncio.create_task(self._in_drops(name, text)) for name, text in self._requests()]
        try:
            for number, poison in enumerate(POISONS):
                await self._swallow(number, poison)
            await self._noise()
            await asyncio.gather(*slow)
        finally:
            for task in slow:
                task.cancel()
        self.restored("the last of them is gone")
        after = await self.pids()
        self.facts |= {
            "poisons": len(POISONS) + len(slow) + 1,
            "newcomers": NEWCOMERS,
            "let_in": (await self.knock(NEWCOMERS, "newcomer")).let_in,
        }
        self.facts["processes_ended"] = ", ".join(sorted(before.keys() - after.keys()))

    async def _swallow(self, number: int, poison: Poison) -> None:
        """Join as a guest, say it, and see how that ends."""
        room = self.plan[number % len(self.plan)].name
        rng = random.Random(f"{self.options.seed} {poison.name}")
        reader, writer = await self._dial()
        try:
            writer.write(self._request(room, f"{room}.poison{number}", deflate=poison.deflate))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), END_S)
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._wrong.append(f"{poison.name}: could not even join: {head[:60]!r}")
                return
            with contextlib.suppress(OSError):  # it may hang up before all of it is said
                writer.write(poison.make(rng))
                await asyncio.wait_for(writer.drain(), END_S)
            code = await self._end(reader)
        except (OSError, EOFError, TimeoutError):
            code = NO_FRAME
        finally:
            writer.transport.abort()
        if code not in poison.right:
            ended = "is still connected" if code == STILL_OPEN else f"was closed with {code}"
            self._wrong.append(f"{poison.name}: {ended} instead of {' or '.join(map(str, sorted(poison.right)))}")

    async def _end(self, reader: asyncio.StreamReader, within_s: float = END_S) -> int:
        """The close code; STILL_OPEN when it did not end in time."""
        said = b""
        try:
            async with asyncio.timeout(within_s):
                while chunk := await reader.read(READ_BYTES):
                    said = (said + chunk)[:SAID_MAX_BYTES]
        except TimeoutError:
            return close_code(said) if close_code(said) != NO_FRAME else STILL_OPEN
        except OSError:
            pass
        return close_code(said)

    async def _noise(self) -> None:
        """Random bytes where a request should be."""
        reader, writer = await self._dial()
        with contextlib.suppress(OSError):
            writer.write(random.Random(self.options.seed).randbytes(20_000))
        if await self._end(reader) == STILL_OPEN:
            self._wrong.append("random bytes instead of a request: is still connected")
        writer.transport.abort()

    def _requests(self) -> list[tuple[str, bytes]]:
        request = self._request(self.plan[0].name, "slow", deflate=False)
        line = request.partition(b"\r\n")[0] + b"\r\n"
        return [("a request line in drops", b""), ("headers in drops", line), ("headers that never end", request[:-2])]

    async def _in_drops(self, name: str, start: bytes) -> None:
        """Say `start`, then one byte now and then: it must not hold a place for ever."""
        reader, writer = await self._dial()
        ended = asyncio.create_task(self._end(reader, SLOW_S))
        try:
            writer.write(start or b"G")
            while not ended.done():
                with contextlib.suppress(OSError):
                    writer.write(b"X: " + b"y" * 2_000 + b"\r\n" if name.endswith("end") else b"x")
                await asyncio.wait({ended}, timeout=DROP_S)
            if ended.result() == STILL_OPEN:
                self._wrong.append(f"{name}: is still connected after {SLOW_S:g} s")
        finally:
            ended.cancel()
            writer.transport.abort()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._server.hostname, self._server.port)

    def _request(self, room: str, member: str, *, deflate: bool) -> bytes:
        ticket, key = self._ticket(room, Sender(member, "guest", "poison")), base64.b64encode(bytes(16)).decode()
        return (
            f"GET /ws/weddings/{room}/ HTTP/1.1\r\nHost: {self._server.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n"
            f"{DEFLATE if deflate else ''}Authorization: Bearer {ticket}\r\n\r\n"
        ).encode()

    def promises(self) -> list[str]:
        self.facts["connections_ended"] = len(self.ended)
        broken = list(self._wrong)
        if self.facts["processes_ended"]:
            broken.append(f"processes of the fleet have ended: {self.facts['processes_ended']}")
        if self.ended:
            broken.append(f"{len(self.ended)} connections of others ended")
        if self.facts["let_in"] != NEWCOMERS:
            broken.append(f"{self.facts['let_in']} of {NEWCOMERS} newcomers got in afterwards")
        return broken
