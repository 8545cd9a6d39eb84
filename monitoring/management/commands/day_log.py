"""`manage.py day_log export SLUG FILE`: a wedding's day as a file, to look at and to play again with `drill replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from monitoring.day_log import lines

MISUSE = 2


class Command(BaseCommand):
    help = "Write everything that was said in a wedding to a file, as the journal has it. Exit: 0 written, 2 misuse."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, parser_class=type(parser))
        export = actions.add_parser("export", help="write the file; it holds what people wrote to each other: keep it safe")
        export.add_argument("slug", help="the wedding")
        export.add_argument("file", type=Path, help="where to")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        count = 0
        try:
            found = lines(options["slug"])
            if found is None:
                raise CommandError(f"There is no wedding {options['slug']!r}.", returncode=MISUSE)
            with path.open("w", encoding="utf-8") as file:
                path.chmod(0o600)
                for count, line in enumerate(found):  # noqa: B007 - the first line is about the wedding
                    file.write(f"{line}\n")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=MISUSE) from None
        except DatabaseError as error:
            raise CommandError(f"No database that could be asked: {error}.", returncode=MISUSE) from None
        self.stdout.write(f"{count:,} entries of {options['slug']} are in {path}.")
