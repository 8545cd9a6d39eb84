"""`manage.py deploy`: replace all workers of the running fleet one by one; nobody sees a gap."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from realtime.fleet import remote

SILENCE_S = 120.0
"""A worker may take a minute to be empty, and half a minute to be ready."""


class Command(BaseCommand):
    help = "Replace all workers of the running fleet one by one, and the rest after them. Exit: 0 done, 1 not done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="A new release is started.", help="told to the clients that are moved")

    def handle(self, *args: Any, **options: Any) -> None:
        request = {"do": "deploy", "reason": options["reason"]}
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        last: dict[str, Any] = {}
        try:
            fleet = next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))
            with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
                task = bar.add_task("deploying", total=len(fleet["workers"]))
                for last in remote.ask(settings.VAR_DIR, request, SILENCE_S):
                    bar.update(task, advance=1 if "replaced" in last else 0, description=str(last.get("step", "deploying")))
        except (remote.NoFleet, OSError, StopIteration) as error:
            raise CommandError(str(error) or "the supervisor does not answer") from None
        if not last.get("done"):
            raise CommandError(str(last.get("error", "the supervisor ended before it was done")))
        self.stdout.write(f"All {len(fleet['workers'])} workers were replaced.")
