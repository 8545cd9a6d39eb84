"""What the import commands share: a file is read whole or refused with every mistake named, and exit status 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.core.management.base import CommandError

from wedsync.weddings.tables import Unreadable, decode

T = TypeVar("T")
SHOWN_MAX = 200


def read_file(name: str, read: Callable[[str], T]) -> T:
    """What `read` makes of the text of a file. Raises CommandError, status 2, when there is none or it has mistakes."""
    try:
        raw = Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}", returncode=2) from None
    try:
        return read(decode(raw))
    except Unreadable as error:
        shown = [f"  {mistake}" for mistake in error.mistakes[:SHOWN_MAX]]
        more = len(error.mistakes) - len(shown)
        tail = [f"  and {more} more"] if more else []
        head = f"{name} has {len(error.mistakes)} mistake{'s' if len(error.mistakes) > 1 else ''}; nothing was changed:"
        raise CommandError("\n".join([head, *shown, *tail]), returncode=2) from None
