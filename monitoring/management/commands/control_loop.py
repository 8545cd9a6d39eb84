"""`manage.py control_loop`: the control loop as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring.control import LEASE, run
from monitoring.metrics_port import Board, serving
from realtime.bootstrap import services
from realtime.errors import RegistryUnavailable
from realtime.startup import obstacle


class Command(BaseCommand):
    help = (
        "Watch the workers, scale and balance them, raise and deliver alerts. `manage.py serve` runs this; elsewhere run it "
        "once or more beside the workers: one of them holds the lease. SIGTERM ends it and gives the lease back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--metrics-port",
            type=int,
            metavar="PORT",
            help="serve the figures of the fleet at /metrics of this port, while this process holds the lease (for Kubernetes)",
        )
        parser.add_argument("--metrics-host", default="127.0.0.1", help="address for that (default 127.0.0.1)")

    def handle(self, *args: Any, **options: Any) -> None:
        if missing := obstacle():  # now, and not at night when a day report is to be signed, or in every line of the log
            raise CommandError(missing, returncode=2)
        board = Board()
        if options["metrics_port"] is None:
            asyncio.run(self._run(board))
            return
        try:
            with serving(board, options["metrics_host"], options["metrics_port"]):
                asyncio.run(self._run(board))
        except (OSError, OverflowError) as error:
            where = f"{options['metrics_host']}:{options['metrics_port']}"
            raise CommandError(f"--metrics-port: {where} cannot be had: {error}", returncode=2) from None

    async def _run(self, board: Board) -> None:
        parts = services()
        await parts.mailbox.start(lambda room, parcel: None)  # what the dashboard is told goes out; nothing is listened to
        task = asyncio.create_task(run(parts, board.show), name="control")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        try:
            await parts.registry.release(LEASE, parts.hub.process)
        except RegistryUnavailable:
            self.stderr.write("the lease could not be given back; it runs out by itself")
        await parts.mailbox.stop()
        await parts.registry.stop()
