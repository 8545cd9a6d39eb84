"""`manage.py drain`: one worker sends its people elsewhere and ends, wherever it runs."""

from __future__ import annotations

import asyncio
import getpass
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections

from monitoring.models.audit import append
from realtime.bootstrap import registry_at
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.fleet import remote
from realtime.management.shell import ShellCommand
from realtime.ports import Registry
from realtime.report import Drain, WorkerReport
from wedsync.environment import environment

MISUSE = 2
DEADLINE_MAX_S = 86_400
LEASE, LEASE_S = "drain", 3.0
"""One after the other, and not before the reports say who takes people by now: else all might go."""
POLL_S = 0.2
MORE_S = 15.0
"""Beyond the deadline: the last goodbyes, and the report that says that it has ended."""

SILENT_S = 1.5
"""After its last word, which can be read for some seconds."""


class Command(ShellCommand):
    help = (
        "Ask a worker to take nobody new, to send its people elsewhere, planners last, and to end. A supervisor starts a new "
        "one in its place. Exit: 0 told (with --wait: gone), 1 not gone in time, 2 refused or misused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "worker", nargs="?", help="its slot, as the dashboard shows it (w2), or its id in manage.py fleet (w2.1)"
        )
        which.add_argument("--self", action="store_true", dest="own", help="the one in the slot WEDSYNC_SLOT: a preStop hook")
        parser.add_argument("--wait", action="store_true", help="return when it has ended")
        parser.add_argument("--deadline", type=float, default=60.0, metavar="S", help="who has not gone by then is sent away")
        parser.add_argument("--reason", default="it is drained", help="told to the clients that are moved")
        parser.add_argument("--by", default="", metavar="NAME", help="who asks for it (default: your login)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["deadline"] <= DEADLINE_MAX_S:  # nan is neither
            raise CommandError("--deadline must be more than 0 seconds, at most a day", returncode=MISUSE)
        if options["own"] and not environment(settings.VAR_DIR).get("WEDSYNC_SLOT"):  # its default is somebody's slot
            raise CommandError("--self: WEDSYNC_SLOT is not set, this is no worker's environment", returncode=MISUSE)
        try:
            asyncio.run(self._drain(options))
        except RegistryUnavailable as error:
            raise CommandError(f"{error.message} Nobody can be told anything now.", returncode=MISUSE) from None

    async def _drain(self, options: dict[str, Any]) -> None:
        own, registry = options["own"], registry_at(_redis())
        try:
            slot = settings.REALTIME.slot if own else options["worker"]
            found = self._found(await registry.reports(), slot, own)
            if not own:  # the end of a pod is no decision of a person
                if found.state != "draining" and not await registry.hold(LEASE, secrets.token_hex(8), LEASE_S):
                    raise CommandError(f"another worker was just told to drain; again in {LEASE_S:g} s", returncode=MISUSE)
                who = options["by"] or getpass.getuser()
                await asyncio.to_thread(_keep, who, "drain", options["reason"], SystemClock().now(), found.worker)
            if found.state != "draining":
                await registry.order(found.worker, Drain(options["reason"], options["deadline"]))
            self.stdout.write(f"{found.slot} is told to send its {sum(found.connections.values()):,} people elsewhere.")
            if options["wait"]:
                await self._gone(registry, found, options["deadline"])
        finally:
            await registry.stop()

    def _found(self, reports: list[WorkerReport], slot: str, own: bool) -> WorkerReport:
        """The newest in this slot, or the one with this id (w2.1). Raises CommandError."""
        there = sorted((r for r in reports if r.slot == slot), key=lambda r: r.started_s)
        if not there and "." in slot:
            worker = _numbered(slot)
            there = [report for report in reports if report.worker == worker]
        if not there:
            known = ", ".join(dict.fromkeys(report.slot for report in reports)) or "none"
            raise CommandError(f"there is no worker {slot}; those that report: {known}", returncode=MISUSE)
        others = [report for report in reports if report.state == "ready" and report.worker != there[-1].worker]
        if not others and not own:
            raise CommandError(f"{slot} is the only worker that takes people: nobody could take its own", returncode=MISUSE)
        return there[-1]

    async def _gone(self, registry: Registry, found: WorkerReport, deadline_s: float) -> None:
        """Wait until it reports no more, or says that it has nobody left. Raises CommandError."""
        clock = SystemClock()
        until_s, silent_since_s, last_s = clock.monotonic() + deadline_s + MORE_S, clock.monotonic(), found.at_s
        while True:
            report = next((r for r in await registry.reports() if r.worker == found.worker), None)
            if report is not None and report.at_s != last_s:
                last_s, silent_since_s = report.at_s, clock.monotonic()
            empty = report is not None and report.state == "draining" and not any(report.connections.values())
            if report is None or (empty and clock.monotonic() - silent_since_s > SILENT_S):
                self.stdout.write(f"{found.slot} has ended.")
                return
            if clock.monotonic() > until_s:
                raise CommandError(f"{found.slot} has not ended after {deadline_s + MORE_S:.0f} s")
            await clock.sleep(POLL_S)


def _keep(*entry: Any) -> None:
    """Into the audit, from a thread whose connections nobody else closes."""
    try:
        append(*entry)
    finally:
        connections.close_all()


def _numbered(name: str) -> str | None:
    """Which worker `manage.py fleet` shows as w2.1; None: none that is known here, where a supervisor may not run. Raises
    CommandError when another is in its place."""
    try:
        rows = next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))["workers"]
    except (remote.NoFleet, OSError, StopIteration):
        return None
    workers = {row["id"]: row["worker"] for row in rows}
    others = [row["id"] for row in rows if row["slot"] == name.rpartition(".")[0]]
    if name not in workers and others:
        raise CommandError(f"{name} is gone; {others[-1]} is in its place", returncode=MISUSE)
    return workers.get(name)


def _redis() -> str:
    """Where the workers report: as configured, or the private one of the fleet on this machine. Raises CommandError."""
    if settings.REDIS_URL:
        return str(settings.REDIS_URL)
    try:
        return str(next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))["redis"])
    except (remote.NoFleet, OSError, StopIteration) as error:
        raise CommandError(f"REDIS_URL is not set, and {error}", returncode=MISUSE) from None
