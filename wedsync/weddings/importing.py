"""What the import commands share: a file is read whole or refused with every mistake named, and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from wedsync.weddings.comparing import Change, counted
from wedsync.weddings.tables import BYTES_MAX, Unreadable, decode

T = TypeVar("T")
SHOWN_MAX = 1_000


def read_file(name: str, read: Callable[[str], T]) -> T:
    """What `read` makes of the text of a file. Raises CommandError, status 2, when there is none or it has mistakes."""
    try:
        with Path(name).open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}", returncode=2) from None
    try:
        return read(decode(raw))
    except Unreadable as error:
        shown = [f"  {mistake}" for mistake in error.mistakes[:SHOWN_MAX]]
        more = len(error.mistakes) - len(shown)
        tail = [f"  and {more:,} more"] if more else []
        head = f"{name} has {len(error.mistakes):,} mistake{'s' if len(error.mistakes) > 1 else ''}; nothing was changed:"
        raise CommandError("\n".join([head, *shown, *tail]), returncode=2) from None


@contextmanager
def bar(what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on the terminal; call it with the share that is done. A pipe gets nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)


@contextmanager
def database() -> Iterator[None]:
    """Raises CommandError, status 1, when the database does not take it; then nothing was changed."""
    try:
        yield
    except DatabaseError as error:
        raise CommandError(f"the database refused: {error}. Nothing was changed; `manage.py migrate` may be due") from None


def show_changes(out: OutputWrapper, changes: Sequence[Change]) -> None:
    """What an import would do, a line for each change and one that counts them."""
    for change in changes[:SHOWN_MAX]:
        out.write(f"{change.what} {change.title}" + (f": {change.details}" if change.details else ""))
    if len(changes) > SHOWN_MAX:
        out.write(f"and {len(changes) - SHOWN_MAX:,} more")
    out.write(
        "would be " + ", ".join(f"{count:,} {what}" for what, count in counted(changes).items()) + "; nothing was changed"
    )
