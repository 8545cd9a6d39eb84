"""What an open connection keeps. Half of what the handshake made is never asked for again: headers, options, queues."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from autobahn.websocket.protocol import TrafficStats


class Asked:
    """All that Daphne's log still wants of the request: its path."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class Resting:
    """Values of a connection at rest, as attributes of the class, so that no connection has to hold its own.

    Autobahn sets an attribute of the connection where one differs; `rested` takes those back that do not.
    """

    data = b""
    inside_message = triggered = False
    send_state = autoPingPendingSeq = 0  # noqa: N815 - autobahn's names
    current_frame = trackedTimings = None  # noqa: N815
    _perMessageCompress: Any = None  # noqa: N815
    closedByMe = failedByMe = droppedByMe = wasClean = False  # noqa: N815
    wasMaxFramePayloadSizeExceeded = wasMaxMessagePayloadSizeExceeded = False  # noqa: N815
    wasServerConnectionDropTimeout = wasOpenHandshakeTimeout = wasCloseHandshakeTimeout = False  # noqa: N815
    wasServingFlashSocketPolicyFile = False  # noqa: N815
    wasNotCleanReason = localCloseCode = localCloseReason = remoteCloseCode = remoteCloseReason = None  # noqa: N815
    openHandshakeTimeoutCall = closeHandshakeTimeoutCall = None  # noqa: N815
    autoPingTimeoutCall = autoPingPending = autoPingPendingCall = autoPingPendingSent = None  # noqa: N815
    # Only for writing in chops, which nobody asks for, and for counts that nobody reads.
    send_queue = ()
    trafficStats = TrafficStats()  # noqa: N815


OVER = {
    "_raw_query_string", "_transport_details", "_wskey", "application_deferred", "clean_headers", "http_headers",
    "http_request_data", "http_request_host", "http_request_params", "http_request_path", "http_request_uri",
    "http_response_data", "http_status_line", "protocol_to_accept", "root_path", "send_queue", "server_addr",
    "trafficStats", "websocket_extensions", "websocket_extensions_in_use", "websocket_origin", "websocket_protocols",
}  # fmt: skip
"""What only the handshake needed."""


def rested(cls: type, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that an open connection of `cls` still needs of its own."""
    missing = object()
    return {
        name: value
        for name, value in attributes.items()
        if name not in OVER and value is not getattr(cls, name, missing)
    }  # fmt: skip


_NOTHING: list[dict[str, Any]] = []
"""Of all that wait for nothing. Nobody appends to it."""


class Mailslot:
    """ASGI messages on their way to an application that reads one after the other: `asyncio.Queue` without its 2.3 KB."""

    __slots__ = ("_messages", "_next", "_reader")

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._next = _NOTHING
        """Those to be read before, the first one last: a `deque` of its own would be 0.8 KB."""
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> dict[str, Any]:
        """The next message. For one reader at a time."""
        while not self._messages and not self._next:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._next:
            self._next, self._messages = self._messages[::-1], []
        return self._next.pop()
