"""Compression of a connection: agreed here, before the application sees it; consumers need not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime.config import RealtimeConfig
from realtime.deflate import Inflater
from realtime.policy.encoding import accept

DEFLATE_EXTENSION = "wedsync.deflate"
"""The ASGI scope extension of a server that lets the application answer offers of permessage-deflate: an `Agree`."""

Agree = Callable[[str, Inflater], None]
"""Told the value of `Sec-WebSocket-Extensions` in the answer to the handshake, and what inflates the client's messages."""


class CompressionMiddleware:
    """Agrees on permessage-deflate where the server lets us, the client offers what we can serve, and it is switched on.

    A server with compression of its own (uvicorn) has no such extension and answers the offer itself: there this stands aside.
    Whether a connection that could have compressed frames gets them is its plan's question (`ConnectionOptimizer`).
    """

    def __init__(self, application: Any, config: RealtimeConfig) -> None:
        self._application = application
        self._config = config
        # What any role may send. The inbox knows the role and is stricter.
        self._limit_bytes = max(config.guest_message_bytes, config.crew_message_bytes, config.planner_message_bytes)

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Not a coroutine of its own: one frame less for as long as the connection lives."""
        agree: Agree | None = scope.get("extensions", {}).get(DEFLATE_EXTENSION) if self._config.compression else None
        if agree is not None:
            answer = accept(",".join(_values(scope["headers"], b"sec-websocket-extensions")))
            if answer is not None:
                agree(answer, Inflater(self._limit_bytes))
        return self._application(scope, receive, send)


def _values(headers: Any, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]
