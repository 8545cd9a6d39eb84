"""Guests that say far more than a server can carry: `python -m tests.acceptance.flood PORT ROOM PER_S SECONDS TICKET...`.

Frames past any client, so that nothing waits for an answer. Prints how many were sent, stored and refused, as JSON.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import selectors
import socket
import sys
import time

ANSWER = re.compile(rb'"t":"(ok)"|"t":"error","code":"(\w+)"')
TICK_S = 0.01


def open_socket(port: int, room: str, ticket: str, receive_bytes: int = 0) -> socket.socket:
    """A member. `receive_bytes`: what its kernel keeps for one who does not read; 0: as usual."""
    raw = socket.socket()
    if receive_bytes:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    raw.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    raw.sendall(
        f"GET /ws/weddings/{room}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {ticket}\r\n\r\n".encode()
    )
    while b'"t":"live"' not in raw.recv(1 << 16):
        pass
    return raw


def frame(text: bytes) -> bytes:
    """Masked with zeros: valid, and free."""
    return bytes([0x81, 0xFE]) + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text


def main(port: int, room: str, per_s: float, seconds: float, tickets: list[str]) -> None:
    os.nice(15)  # phones have processors of their own: this one must not take the server's
    sockets = [open_socket(port, room, ticket) for ticket in tickets]
    selector = selectors.DefaultSelector()
    backlog = dict.fromkeys(sockets, b"")
    for raw in sockets:
        raw.setblocking(False)
        selector.register(raw, selectors.EVENT_READ)
    counts = {"sent": 0, "ok": 0}
    start_s, n = time.monotonic(), 0
    while (now_s := time.monotonic() - start_s) < seconds + 3:
        due = int(min(now_s, seconds) * per_s)
        for index, raw in enumerate(sockets):
            if n < due and not backlog[raw]:
                share = range(n + index, due, len(sockets))
                texts = (
                    b'{"t":"publish","id":"%d-%d","kind":"guest.checkin","data":{"guest":"g","name":"%s"}}'
                    % (id(raw), k, b"x" * 90)
                    for k in share
                )
                backlog[raw] = b"".join(map(frame, texts))
                counts["sent"] += len(share)
            with contextlib.suppress(BlockingIOError):
                backlog[raw] = backlog[raw][raw.send(backlog[raw]) :] if backlog[raw] else b""
        n = due
        for key, _ in selector.select(TICK_S):
            for ok, code in ANSWER.findall(key.fileobj.recv(1 << 20)):  # type: ignore[union-attr]
                name = (ok or code).decode()
                counts[name] = counts.get(name, 0) + 1
    print(json.dumps(counts))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5:])
