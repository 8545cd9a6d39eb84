"""What commands share that ask the journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import DatabaseError

from realtime.errors import JournalUnavailable


@contextmanager
def journal_asked() -> Iterator[None]:
    """Raises CommandError, status 1, when the journal's database does not do it."""
    try:
        yield
    except (JournalUnavailable, DatabaseError) as error:
        raise CommandError(f"the journal's database does not do it: {error.__cause__ or error}") from None
