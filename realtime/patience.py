"""How long a thread waits for an answer of its database before it takes it for gone. Unless told otherwise: for ever.

Read by `realtime.adapters.postgresql`. SQLite, where only a lock can be waited for, has a limit of its own (ten seconds,
`wedsync.settings`).
"""

from __future__ import annotations

import threading

_thread = threading.local()


def answer_within(seconds: float | None) -> None:
    """From now on, for connections that this thread opens: seconds for each answer; None: for ever."""
    _thread.seconds = seconds


def patience_s() -> float | None:
    """What this thread was told."""
    found: float | None = getattr(_thread, "seconds", None)
    return found
