"""`manage.py day_report`: what a wedding's day was like, in figures that can be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from monitoring.day_report import DayReport, verify
from monitoring.day_report_page import figures, html, verdict
from monitoring.day_reports import file_of, keys
from realtime.clock import SystemClock
from realtime.management.shell import ShellCommand

MISUSE = 2
PRINTED = Path("-")


class Command(ShellCommand):
    help = "The report of one wedding's day, or --verify a signed one. Exit: 0 fine, 1 not what was signed, 2 misuse."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", nargs="?", default="", help="the wedding")
        parser.add_argument(
            "--json",
            type=Path,
            nargs="?",
            const=PRINTED,
            metavar="FILE",
            help="write the signed report (without FILE: print it)",
        )
        parser.add_argument("--html", type=Path, metavar="FILE", help="write the page")
        parser.add_argument("--verify", type=Path, metavar="FILE", help="is this file what was signed here?")

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["verify"] is None) == (not options["slug"]):
            raise CommandError("Name a wedding, or a file with --verify.", returncode=MISUSE)
        try:
            report = self._verified(options["verify"]) if options["verify"] else self._made(options)
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=MISUSE) from None
        except DatabaseError as error:
            raise CommandError(f"No database that could be asked: {error}.", returncode=MISUSE) from None
        if options["json"] != PRINTED:
            self._say(report)

    def _verified(self, path: Path) -> DayReport:
        report = verify(path.read_bytes(), keys())
        if report is None:
            raise CommandError(f"{path} is not a report that was signed here, or it was changed.")
        self.stdout.write(f"{path} is as it was signed.")
        return report

    def _made(self, options: dict[str, Any]) -> DayReport:
        file = file_of(options["slug"], SystemClock().now())
        if file is None:
            raise CommandError(f"There is no wedding {options['slug']!r}.", returncode=MISUSE)
        report = verify(file, keys())
        if report is None:
            raise CommandError("The report that was kept is not as it was signed, or SECRET_KEY has changed.")
        if options["json"] == PRINTED:
            self.stdout.write(file.decode(), ending="")
        elif options["json"]:
            options["json"].write_bytes(file)
        if options["html"]:
            options["html"].write_text(html(report), encoding="utf-8")
        return report

    def _say(self, report: DayReport) -> None:
        wedding = report.wedding
        self.stdout.write(f"{wedding.names}, {wedding.start:%A %d %B %Y}, {wedding.venue}: {verdict(report)[1]}")
        for name, value, about in figures(report):
            self.stdout.write(f"  {name}: {value} ({about})")
        for trouble in report.troubles:
            self.stdout.write(f"  Went wrong: {trouble.what}")
        for line in report.not_measured:
            self.stdout.write(f"  Not measured: {line}")
