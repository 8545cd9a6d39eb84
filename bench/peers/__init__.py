"""The servers that are measured, ours first. Each module starts one of them; one that is not installed says how to get it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bench.peers import channels_tutorial, loop, nchan, node, wedsync
from bench.target import Target


class Start(Protocol):
    """Starts a server on a core for these rooms; it ends with the context. Raises CannotMeasure."""

    def __call__(
        self, folder: Path, core: int, rooms: list[str], *, deflate: bool = False
    ) -> AbstractContextManager[Target]: ...


OURS = "wedsync"
PEERS: dict[str, Start] = {
    OURS: wedsync.start,
    "loop": loop.start,
    "nchan": nchan.start,
    "ws": node.start_ws,
    "socketio": node.start_socketio,
    "channels-core": channels_tutorial.start_core,
    "channels-pubsub": channels_tutorial.start_pubsub,
}
TITLES = {
    OURS: "WedSync",
    "loop": "C loop of send()",
    "nchan": "Nchan",
    "ws": "Node ws",
    "socketio": "Socket.IO",
    "channels-core": "Channels, core layer",
    "channels-pubsub": "Channels, pub/sub layer",
}
SLOW = ("channels-core", "channels-pubsub")
"""Opening their members and waiting for what they deliver takes minutes: measured once where a row does not ask for more."""
MISSING: dict[str, Callable[[], str]] = {
    "nchan": nchan.missing,
    "ws": node.missing,
    "socketio": node.missing,
    "channels-core": channels_tutorial.missing,
    "channels-pubsub": channels_tutorial.missing,
}
"""What to install when a peer cannot run here; empty when it can."""
