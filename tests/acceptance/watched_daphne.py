"""Daphne with a watch on its loop: `python watched_daphne.py FILE [daphne's arguments]`.

On SIGUSR1 it writes into FILE the CPU seconds of the longest turn of the loop since the last time, and begins anew. CPU,
because on a machine with other work the wall clock tells of that.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

from daphne.cli import CommandLineInterface
from twisted.internet import reactor


class Watch:
    """Wakes up a thousand times a second and asks how much CPU went by meanwhile."""

    def __init__(self, report: Path) -> None:
        self.worst_s = 0.0
        self.report = report

    async def run(self) -> None:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(0.001)
            took_s = time.thread_time() - before_s
            if took_s > self.worst_s:  # not max(): the signal may come while it still has the old value, and bring it back
                self.worst_s = took_s

    def tell(self, *_: object) -> None:
        self.report.write_text(f"{self.worst_s}")
        self.worst_s = 0.0


if __name__ == "__main__":
    sys.path.insert(0, ".")
    watch, tasks = Watch(Path(sys.argv[1])), []
    signal.signal(signal.SIGUSR1, watch.tell)
    reactor.callWhenRunning(lambda: tasks.append(reactor._asyncioEventloop.create_task(watch.run())))
    CommandLineInterface().run(sys.argv[2:])
