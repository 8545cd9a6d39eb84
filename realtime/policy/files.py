"""Whether a process may take another socket, as far as its open files go. PURE."""

from __future__ import annotations

RESERVED = 32
"""Left for what a worker opens on its own: connections to the database and Redis, logs, the copies a passed socket needs."""


def short_of_files(n_open: int | None, limit: int) -> str:
    """Why nobody else can be taken, "" when there is room. `n_open`: None when it could not be counted, then there is room."""
    if n_open is None or n_open + RESERVED < limit:
        return ""
    return f"{n_open} of {limit} open files are used (ulimit -n)"
