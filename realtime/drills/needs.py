"""What a drill needs of the machine, and whether it is there: programs and privileges, each with what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable

from msgspec import Struct


class Need(Struct, frozen=True):
    """One thing. `met()` looks now; `hint` says what makes it so."""

    name: str
    hint: str
    met: Callable[[], bool]


def program(name: str, hint: str) -> Need:
    """A program that must be on the path."""
    return Need(name, hint, lambda: shutil.which(name) is not None)


def privilege(name: str, hint: str, met: Callable[[], bool]) -> Need:
    """Something the kernel must allow; `met` tries it and leaves nothing behind."""
    return Need(name, hint, met)


def refusal(drill: str, needs: Iterable[Need]) -> str:
    """A sentence that names everything missing and what to do about it, "" when all is there."""
    missing = [f"{need.name} ({need.hint})" for need in needs if not need.met()]
    return f"drill {drill} needs {', '.join(missing)}" if missing else ""
