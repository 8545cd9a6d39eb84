"""One WebSocket of a client: from frames to whole messages. The only file of the client that knows picows' frames."""

from __future__ import annotations

import socket
from typing import Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from realtime.addresses import is_address

MESSAGE_MAX_BYTES = 4 * 1_048_576
"""The largest message taken: a snapshot of the largest wedding has about a tenth of it."""
ABNORMAL = 1006
"""The connection ended without a close frame (RFC 6455 section 7.1.5)."""
NO_CODE = 1005
STALLED_BYTES = 8_192


def check_address(url: str) -> None:
    """Raises ValueError for no address of a WebSocket: trying it again would not help."""
    if not is_address(url, "ws", "wss"):
        raise ValueError(f"{url!r} is no address of a WebSocket, such as ws://localhost:8000/ws/weddings/rose-garden/")


class Receiver(Protocol):
    """Who is told. `closed` is the last call, and there is none after `Wire.close`."""

    def opened(self, wire: Wire) -> None: ...
    def receive(self, wire: Wire, text: bytes) -> None: ...
    def heard(self, wire: Wire) -> None: ...
    def closed(self, wire: Wire, code: int) -> None: ...


class Wire(WSListener):  # type: ignore[misc, unused-ignore]
    """One connection: from frames to messages."""

    def __init__(self, client: Receiver) -> None:
        self.transport: WSTransport | None = None
        self._client: Receiver | None = client
        self._parts: bytearray | None = None
        self._code = ABNORMAL

    def send(self, texts: list[bytes]) -> None:
        assert self.transport is not None
        for text in texts:
            self.transport.send(WSMsgType.TEXT, text)

    def close(self, *, graceful: bool) -> None:
        self._client = None
        if self.transport is not None:
            if graceful:
                self.transport.send_close(WSCloseCode.OK)
            self.transport.disconnect(graceful=False)

    def stall(self) -> None:
        """Read nothing any more, as a phone whose page is suspended; the socket's buffer is kept small."""
        if self.transport is not None:
            raw = self.transport.underlying_transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BYTES)
            self.transport.underlying_transport.pause_reading()

    def read_again(self) -> None:
        """End of `stall`."""
        if self.transport is not None:
            self.transport.underlying_transport.resume_reading()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if self._client is not None:
            self._client.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        client = self._client
        if client is None:
            return
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin:
            client.receive(self, frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self._code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else NO_CODE
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind == WSMsgType.TEXT or (kind == WSMsgType.CONTINUATION and self._parts is not None):
            self._collect(client, frame)
        else:
            client.heard(self)

    def _collect(self, client: Receiver, frame: WSFrame) -> None:
        parts = self._parts = bytearray() if frame.msg_type == WSMsgType.TEXT or self._parts is None else self._parts
        parts += frame.get_payload_as_memoryview()
        if frame.fin:
            self._parts = None
            client.receive(self, bytes(parts))
        elif len(parts) > MESSAGE_MAX_BYTES:
            self._parts = None
            self.close(graceful=True)
            client.closed(self, ABNORMAL)
            return
        client.heard(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.closed(self, self._code)
