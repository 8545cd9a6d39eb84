"""A worker whose monitoring can be switched off and on: `python -m bench.switched_daphne [daphne's arguments]`, SIGUSR1.

Off, it counts and times no delivery, asks the kernel for no arrival and reports nothing; everything else goes on. The server
itself has no such switch.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, cast

from daphne.cli import CommandLineInterface

UNCOUNTED = ("delivered", "book_many", "published", "seen")


def _nothing(*_: Any) -> None:
    pass


def _write(room: Any, members: Any, items: Any, frames: bytes) -> None:
    """`HeldRoom._write` without a look at the clock."""
    size = len(frames)
    for connection in members:
        try:
            sent = connection.push(frames)
        except OSError:
            sent = 0
        if sent != size:
            room._write_slowly(connection, items, frames, sent)


async def _reporting(parts: Any) -> None:
    """`reporting`, from the middle of a second on: one report in each second of a spell, and none is cut off at its end."""
    from realtime.reporting import REPORT_EVERY_S, reporting

    await parts.clock.sleep(REPORT_EVERY_S / 2)
    await reporting(parts)


class Switch:
    """Monitoring of this process."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._timed: Any = None
        self.off = False

    def turn(self) -> None:
        """The other way round. On the loop."""
        from realtime.adapters.daphne_server import WireProtocol
        from realtime.bootstrap import services
        from realtime.room import HeldRoom

        parts = services()
        self.off = not self.off
        measures, arrivals = vars(parts.hub.measures), vars(WireProtocol.arrivals)
        if self.off:
            measures |= dict.fromkeys(UNCOUNTED, _nothing)
            arrivals["read"] = lambda raw, n_bytes: raw.recv(n_bytes)
            self._timed, HeldRoom._write = HeldRoom._write, cast(Any, _write)  # type: ignore[method-assign]
            for task in [*parts._tasks, self._task]:
                if task is not None and task.get_name() == "report":
                    task.cancel()
            return
        for name in UNCOUNTED:
            del measures[name]
        del arrivals["read"]
        HeldRoom._write = self._timed  # type: ignore[method-assign]
        self._task = asyncio.get_running_loop().create_task(_reporting(parts), name="report")


if __name__ == "__main__":
    from twisted.internet import reactor

    switch = Switch()
    # Between two turns of the loop: a handler of its own may come in between two bytecodes.
    signal.signal(signal.SIGUSR1, lambda *_: reactor._asyncioEventloop.call_soon_threadsafe(switch.turn))
    CommandLineInterface().run(sys.argv[1:])
