"""`manage.py day_log export SLUG FILE`: a wedding's day as a file, to look at and to play again with `drill replay`."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from monitoring.day_log import lines
from realtime.management.shell import ShellCommand

MISUSE = 2


class Command(ShellCommand):
    help = "Write everything that was said in a wedding to a file, as the journal has it. Exit: 0 written, 2 misuse."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, parser_class=type(parser))
        export = actions.add_parser("export", help="write the file; it holds what people wrote to each other: keep it safe")
        export.add_argument("slug", help="the wedding")
        export.add_argument("file", type=Path, help="where to")

    def handle(self, *args: Any, **options: Any) -> None:
        found = lines(options["slug"])
        if found is None:
            raise CommandError(f"There is no wedding {options['slug']!r}.", returncode=MISUSE)
        path: Path = options["file"]
        count = 0
        try:
            out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with closing(found), os.fdopen(out, "w", encoding="utf-8") as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a device is everybody's
                    os.fchmod(file.fileno(), 0o600)
                for count, line in enumerate(found):  # noqa: B007 - the first line is about the wedding
                    file.write(f"{line}\n")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=MISUSE) from None
        self.stdout.write(f"{count:,} entries of {options['slug']} are in {path}.")
