"""The consumer of a room: one connection from the handshake to the end. It moves frames and decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import parse_qs

from channels.consumer import AsyncConsumer

from realtime.closing import CloseCode
from realtime.connection import WIRE_EXTENSION, Connection
from realtime.credentials import authenticate, knock
from realtime.errors import BadCredentials, JournalUnavailable, RealtimeError
from realtime.inbox import Inbox
from realtime.messages import PROTOCOL, Goodbye, encode
from realtime.services import Services

logger = logging.getLogger(__name__)

MAX_OFFSET = 2**63 - 1
DIGITS_MAX = 19
"""Of an offset; beyond 4,300 of them `int` raises."""
RESTART_MS = 2_000
"""A process that stops tells who comes meanwhile to come back after this: there is nobody yet who would let it in."""


class RoomConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels has no types
    """`/ws/weddings/<slug>/`. Overrides `__call__`: no channel per socket, and no thread hop or task per message.

    Where the server offers a wire (our Daphne protocol), frames go in and out past ASGI, with the same checks; elsewhere a task
    awaits `send`.
    """

    def __init__(self, *, services: Services) -> None:
        self.services = services

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        parts = self.services
        await receive()  # websocket.connect
        await parts.start()
        wire = scope.get("extensions", {}).get(WIRE_EXTENSION)
        connection: Connection | None = None
        sending: asyncio.Task[None] | None = None
        try:
            parts.arriving += 1
            try:
                connection, resume = await self._let_in(scope, send, wire)
                if connection is None:
                    return
                if wire is None:
                    sending = asyncio.create_task(self._sending(connection, send), name="send")
                joined = await self._join(connection, *position(scope["query_string"]), resume)
            finally:
                parts.arriving -= 1
            if joined:
                inbox = Inbox(connection, parts.hub, parts.committer, parts.intake, parts.config, parts.clock, parts.plan)
                if wire is not None:
                    connection.open(inbox.take)
                # With a wire only what came during the join is here, then the end.
                while (message := await receive())["type"] == "websocket.receive":
                    inbox.take(message.get("text"))
            else:
                while (await receive())["type"] != "websocket.disconnect":
                    pass
        finally:
            if connection is not None:
                parts.hub.leave(connection)
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _let_in(self, scope: Any, send: Any, wire: Any) -> tuple[Connection | None, str]:
        """(connection of a member that was accepted, a ticket for its next one); (None, "") for one that was sent away."""
        parts, room = self.services, scope["url_route"]["kwargs"]["slug"]
        try:
            knocked = knock(scope, room, parts)  # before `admit`: strangers are to take nobody's place
            if parts.stopping:
                await self._send_away(scope, send, Goodbye(CloseCode.GOING_AWAY, parts.reason, RESTART_MS))
                return None, ""
            if (wait_s := parts.admission.admit(knocked.role, parts.clock.monotonic(), room)) > 0:
                parts.hub.measures.joins_refused_total += 1
                crowded, wait_ms = "Many are coming back at once; you are let in soon.", round(wait_s * 1_000) or 1
                await self._send_away(scope, send, Goodbye(CloseCode.OVERLOADED, crowded, wait_ms))
                return None, ""
            member, login = await authenticate(knocked, room, parts)
        except BadCredentials as error:
            logger.info("refused at the door of %s: %s", room, error)
            await send({"type": "websocket.close"})  # before the upgrade: HTTP 403
            return None, ""
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in scope["subprotocols"] else None})
        connection = Connection(room, member, wire, parts.hub)
        connection.login = login
        connection.plan = parts.connection_optimizer.plan(connection.stats())
        connection.renew_s = parts.renewal_s()
        return connection, parts.resume(connection)

    async def _send_away(self, scope: Any, send: Any, goodbye: Goodbye) -> None:
        """Nothing was done for this one yet, and nothing is until it comes back. A browser learns when only inside."""
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in scope["subprotocols"] else None})
        await send({"type": "websocket.send", "text": encode(goodbye).decode()})
        await send({"type": "websocket.close", "code": int(goodbye.code)})

    async def _join(self, connection: Connection, epoch: str, since: int | None, resume: str) -> bool:
        try:
            await self.services.hub.join(connection, epoch, since, resume)
        except JournalUnavailable as error:
            connection.end(CloseCode.OVERLOADED, error.message, retry_after_ms=error.retry_after_ms or 1_000)
        except RealtimeError as error:
            connection.end(CloseCode.FORBIDDEN, error.message)
        if self.services.stopping:  # everybody else may have heard the goodbye, and nobody look again
            connection.end(CloseCode.GOING_AWAY, self.services.reason, retry_after_ms=RESTART_MS)
        return connection.closing is None

    async def _sending(self, connection: Connection, send: Any) -> None:
        while connection.closing is None:
            for text in await connection.texts():
                await send({"type": "websocket.send", "text": text.decode()})
                connection.took_one()
        for text in await connection.texts():
            await send({"type": "websocket.send", "text": text.decode()})
        self.services.hub.leave(connection)
        await send({"type": "websocket.close", "code": int(connection.closing)})


def position(query_string: bytes) -> tuple[str, int | None]:
    """(epoch, offset) of `?epoch=&since=`; the offset is None when the client has none or it is not a number."""
    query = parse_qs(query_string.decode("latin-1"))
    since = query.get("since", [""])[0]
    if not since.isascii() or not since.isdigit() or len(since) > DIGITS_MAX or int(since) > MAX_OFFSET:
        return "", None
    return query.get("epoch", [""])[0][:32], int(since)
