"""`manage.py fleet`: the workers of this machine, or of all machines that report to one Redis; how they stand and why."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from realtime.bootstrap import registry_at
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.fleet import remote
from realtime.management.shell import ShellCommand
from realtime.report import WorkerReport

COLOURS = {"ready": "green", "starting": "yellow", "draining": "yellow", "lame": "red"}


class Command(ShellCommand):
    help = (
        "Show the workers of the fleet on this machine, without one those that report to REDIS_URL: state, connections, "
        "weddings, reasons. Exit: 0, or 1 when there is none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            fleet = next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))
        except (remote.NoFleet, OSError, StopIteration) as error:
            fleet = self._reporting(str(error) or "the supervisor does not answer")
        if options["json"]:
            self.stdout.write(json.dumps(fleet))
            return
        console = Console(file=sys.stdout, soft_wrap=True)
        table = Table("worker", "pid", "state", "connections", "weddings", "up", "why")
        for row in fleet["workers"]:
            counts = ("not measured" if row[name] is None else f"{row[name]:,}" for name in ("connections", "weddings"))
            state = f"[{COLOURS[row['state']]}]{row['state']}[/]"
            table.add_row(row["id"], str(row["pid"]), state, *counts, f"{row['up_s']:.0f} s", row["reason"])
        console.print(table)
        if "dispatcher" in fleet:
            self._of_this_machine(console, fleet)

    def _of_this_machine(self, console: Console, fleet: dict[str, Any]) -> None:
        wanted = "1 worker is" if fleet["slots"] == 1 else f"{fleet['slots']} workers are"
        console.print(f"{wanted} wanted: {fleet['why']}", markup=False, highlight=False)
        dispatcher = fleet["dispatcher"]
        console.print(
            f"dispatcher: {dispatcher['passed']:,} sockets passed, {dispatcher['again']} of them twice, "
            f"{dispatcher['refused']} refused, {dispatcher['waiting']} waiting"
        )

    def _reporting(self, why: str) -> dict[str, Any]:
        """Those that report to the Redis of many machines. Raises CommandError when there are none."""
        if not settings.REDIS_URL:
            raise CommandError(why) from None
        try:
            reports = asyncio.run(_reports())
        except RegistryUnavailable as error:
            raise CommandError(f"{why}, and {error.message}") from None
        if not reports:
            raise CommandError(f"{why}, and nobody reports to REDIS_URL")
        now_s = SystemClock().now().timestamp()
        return {"workers": [_row(report, now_s) for report in reports]}


async def _reports() -> list[WorkerReport]:
    registry = registry_at(settings.REDIS_URL)
    try:
        return await registry.reports()
    finally:
        await registry.stop()


def _row(report: WorkerReport, now_s: float) -> dict[str, Any]:
    return {
        "id": report.slot,
        "slot": report.slot,
        "pid": report.pid,
        "state": report.state,
        "reason": report.reason,
        "connections": sum(report.connections.values()),
        "weddings": len(report.weddings),
        "worker": report.worker,
        "address": report.address,
        "up_s": round(now_s - report.started_s, 1),
    }
