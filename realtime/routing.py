"""The WebSocket URLs."""

from __future__ import annotations

from typing import Any

from channels.routing import URLRouter
from django.urls import path, re_path

from realtime.consumers import RoomConsumer
from realtime.services import Services


def router(services: Services) -> URLRouter:
    """Routes to consumers that share `services`."""
    room = RoomConsumer.as_asgi(services=services)
    return URLRouter([path("ws/weddings/<slug:slug>/", room), re_path("", _nothing_here)])  # type: ignore[arg-type]  # ASGI


async def _nothing_here(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})  # before the upgrade: HTTP 403
