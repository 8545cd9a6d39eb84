"""What the commands of an operator share: a sentence instead of a traceback."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from realtime.errors import JournalUnavailable

MISSING = ("42P01", "42703")
"""PostgreSQL (appendix A) for a table and a column that is not there."""
FORBIDDEN = "42501"
NO_UTF_8 = re.compile("[\udc80-\udcff]")
"""How Python reads bytes of a command line that are none."""


class ShellCommand(BaseCommand):
    """Says in one line that a database is away or not migrated, status 1; ends in silence when nobody reads on (`| head`)."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Error as error:
            raise CommandError(told(error)) from None
        except JournalUnavailable as error:
            raise CommandError(told(error.__cause__ or error)) from None
        except UnicodeEncodeError as error:
            if not NO_UTF_8.search(error.object):
                raise
            raise CommandError(f"{ascii(error.object[:100])} is no text in UTF-8", returncode=2) from None

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            try:
                super().run_from_argv(argv)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # The interpreter flushes once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def told(error: BaseException) -> str:
    """What a database has answered, and what to do. A table or column that is missing is one that nobody has made yet."""
    said, sqlstate = " ".join(str(error).split()), getattr(error.__cause__, "sqlstate", None)
    if sqlstate == FORBIDDEN:
        return f"this login may not do it ({said}): give it the rights, or DATABASE_URL and HISTORY_DATABASE_URL another"
    if sqlstate in MISSING or said.startswith(("no such table", "no such column")):
        return f"the database is not up to date ({said}): manage.py migrate, and manage.py migrate --database history"
    return f"the database cannot do it ({said}); is it up, and are DATABASE_URL and HISTORY_DATABASE_URL right?"


def unwritable(path: Path) -> str:
    """Why no file can be written there, as far as it is known before the work is done; empty when it can."""
    if os.path.isdir(path):
        return "it is a folder, a file is needed"
    folder = path.absolute().parent
    writable = os.access(path if os.path.exists(path) else folder, os.W_OK) and os.path.isdir(folder)
    return "" if writable else "it cannot be written there"
