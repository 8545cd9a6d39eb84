"""`manage.py control_loop`: the control loop as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from monitoring.control import LEASE, run
from realtime.bootstrap import services
from realtime.errors import RegistryUnavailable


class Command(BaseCommand):
    help = (
        "Watch the workers, scale and balance them, raise and deliver alerts. `manage.py serve` runs this; elsewhere run it "
        "once or more beside the workers: one of them holds the lease. SIGTERM ends it and gives the lease back."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        parts = services()
        await parts.mailbox.start(lambda room, parcel: None)  # what the dashboard is told goes out; nothing is listened to
        task = asyncio.create_task(run(parts), name="control")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        try:
            await parts.registry.release(LEASE, parts.hub.process)
        except RegistryUnavailable:
            self.stderr.write("the lease could not be given back; it runs out by itself")
        await parts.mailbox.stop()
        await parts.registry.stop()
