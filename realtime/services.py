"""What one process runs: the parts, put together by `realtime.bootstrap`, and their start and stop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from realtime.clock import Clock
from realtime.committer import Committer
from realtime.config import RealtimeConfig
from realtime.errors import RealtimeError
from realtime.hub import Hub
from realtime.journal import Journal
from realtime.ports import Domain, Mailbox

logger = logging.getLogger(__name__)


class Services:
    """The parts of one process. `loop` is set while they run; before and after that only the synchronous ones may be used."""

    def __init__(
        self,
        config: RealtimeConfig,
        clock: Clock,
        domain: Domain,
        journal: Journal,
        mailbox: Mailbox,
        committer: Committer,
        hub: Hub,
        announce: Any,
    ) -> None:
        self.config = config
        self.clock = clock
        self.domain = domain
        self.journal = journal
        self.mailbox = mailbox
        self.committer = committer
        self.hub = hub
        self.announce = announce
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ticked_s: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = threading.Lock()

    async def start(self) -> None:
        """Begin to listen, sweep and compare. Called by the server or by whatever comes first; later calls do nothing."""
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
            await self.mailbox.start(self.hub.receive)
            self._task = asyncio.create_task(self._ticking(), name="tick")

    async def stop(self) -> None:
        """Finish what is being committed and end all tasks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.committer.stop()
        await self.mailbox.stop()
        self.loop = self._task = None

    async def _ticking(self) -> None:
        sick = False
        while True:
            self.committer.sweep_soon()
            try:
                await self.hub.tick()
                self.ticked_s = self.clock.monotonic()
                sick = False
            except RealtimeError as error:
                if not sick:
                    logger.warning("the journal cannot be compared: %s", error)
                sick = True
            except Exception:
                logger.exception("the tick failed")
            await self.clock.sleep(self.config.reconcile_s)
