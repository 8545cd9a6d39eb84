"""`manage.py export_runsheet SLUG`: the run sheet as CSV, on standard output or into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from realtime.management.shell import ShellCommand
from wedsync.weddings.exporting import runsheet_csv
from wedsync.weddings.importing import database
from wedsync.weddings.models import Wedding


class Command(ShellCommand):
    help = "Write the run sheet of a wedding as CSV; import_runsheet reads it back. Formulas in cells are made text."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("file", metavar="FILE", nargs="?", help="where to (default: standard output)")

    def handle(self, *args: Any, **options: Any) -> None:
        with database():
            wedding = Wedding.objects.filter(slug=options["slug"]).first()
            if wedding is None:
                raise CommandError(f"there is no wedding {options['slug']!r}", returncode=2)
            text = runsheet_csv(wedding)
        if not options["file"]:
            self._print(text)
            return
        try:
            Path(options["file"]).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be written: {error.strerror}", returncode=2) from None

    def _print(self, text: str) -> None:
        try:
            self.stdout.write(text, ending="")
        except UnicodeEncodeError as error:
            told = f"standard output takes {error.encoding} only: name a FILE, or set PYTHONIOENCODING=utf-8"
            raise CommandError(told, returncode=2) from None
