"""`manage.py fleet`: the workers of this machine, how they stand and why."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from realtime.fleet import remote

COLOURS = {"ready": "green", "starting": "yellow", "draining": "yellow", "lame": "red"}


class Command(BaseCommand):
    help = "Show the workers of the running fleet: state, connections, weddings, reasons. Exit: 0, or 1 when there is none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            fleet = next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))
        except (remote.NoFleet, OSError, StopIteration) as error:
            raise CommandError(str(error) or "the supervisor does not answer") from None
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
        wanted = "1 worker is" if fleet["slots"] == 1 else f"{fleet['slots']} workers are"
        console.print(f"{wanted} wanted: {fleet['why']}", markup=False, highlight=False)
        dispatcher = fleet["dispatcher"]
        console.print(
            f"dispatcher: {dispatcher['passed']:,} sockets passed, {dispatcher['again']} of them twice, "
            f"{dispatcher['refused']} refused, {dispatcher['waiting']} waiting"
        )
