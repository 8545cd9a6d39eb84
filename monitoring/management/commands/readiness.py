"""`manage.py readiness`: may this day come? GO or NO-GO, with reasons."""

from __future__ import annotations

import sys
from typing import IO, Any, cast

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table

from monitoring.readiness import Readiness, judge
from monitoring.readiness_facts import asked_day, gather, running
from realtime.clock import SystemClock
from realtime.management.shell import ShellCommand

NO_GO, MISUSE = 1, 2
LOOK = {"ok": "[green]ok[/]", "risk": "[yellow]risk[/]", "stop": "[red]stop[/]"}


class Command(ShellCommand):
    help = "Is everything ready for the weddings of a day? Exit: 0 GO, 1 NO-GO, 2 misuse."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("date", help="2027-06-12, or tomorrow: the date at the venues")
        parser.add_argument("--workers", type=int, metavar="N", help="how many there may be (default: those that run now)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        now = SystemClock().now()
        try:
            day = asked_day(options["date"], now)
        except ValueError:
            raise CommandError(f"{options['date']!r} is not a date such as 2027-06-12.", returncode=MISUSE) from None
        except DatabaseError as error:
            raise CommandError(f"No database that could be asked: {error}.", returncode=MISUSE) from None
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers: at least 1.", returncode=MISUSE)
        try:
            answer = judge(gather(day, options["workers"] or running()), now)
        except DatabaseError as error:
            raise CommandError(f"No database that could be asked: {error}.", returncode=MISUSE) from None
        if options["json"]:
            self.stdout.write(msgspec.json.encode(answer).decode())
        else:
            self._print(answer)
        if not answer.go:
            sys.exit(NO_GO)

    def _print(self, answer: Readiness) -> None:
        table = Table("", "", "what was found", "what to do", title=answer.line)
        for check in answer.checks:
            table.add_row(LOOK[check.verdict], check.name, check.said, check.do)
        Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 160).print(table)
