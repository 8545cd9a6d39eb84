"""The ASGI application: Django for HTTP, the room consumer for WebSockets.

`daphne wedsync.asgi:application` is all that is needed to run it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

PLAIN = "daphne.cli" in sys.modules
"""A Daphne that nobody has asked before whether it can start; for the processes of a fleet `serve` has."""


def _refuse(why: object) -> NoReturn:
    sys.stderr.write(f"wedsync: {why}\n")
    sys.exit(2)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
try:
    django_application = get_asgi_application()
except ImproperlyConfigured as error:
    if not PLAIN:
        raise
    _refuse(error)

from channels.routing import ProtocolTypeRouter  # noqa: E402 - models are there only after Django's set-up

from realtime.bootstrap import services, when_running  # noqa: E402
from realtime.compression import CompressionMiddleware  # noqa: E402
from realtime.routing import router  # noqa: E402
from realtime.startup import obstacle, only_delivers  # noqa: E402

if PLAIN and (missing := obstacle(delivering=only_delivers())):
    _refuse(missing)
parts = services()
_rooms = CompressionMiddleware(router(parts), parts.config)
_protocols = ProtocolTypeRouter({"http": django_application, "websocket": _rooms})


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Daphne knows no lifespan; on a server that does, the parts start and stop with it."""
    if scope["type"] != "lifespan":
        await _protocols(scope, receive, send)
        return
    await receive()
    if missing := await sync_to_async(obstacle)(delivering=only_delivers()):
        await send({"type": "lifespan.startup.failed", "message": missing})
        return
    await parts.start()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await parts.stop()
    await send({"type": "lifespan.shutdown.complete"})


when_running(parts)
