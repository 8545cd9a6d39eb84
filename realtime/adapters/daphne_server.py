"""Everything that leans on Daphne and Twisted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor


def when_running(start: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `start` on Daphne's asyncio loop once the reactor runs. The loop keeps the task alive; errors reach its handler."""
    tasks: list[Any] = []
    reactor.callWhenRunning(lambda: tasks.append(reactor._asyncioEventloop.create_task(start())))
