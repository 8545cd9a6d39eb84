"""Puts the wall clock of one worker wrong, for `drill clock`: Python imports this at its start where PYTHONPATH says so.

Only that drill does, so that no server has such a switch. With libfaketime the process starts again under it, and all of it
sees the wrong time; without it only Python's clocks do. The monotonic clock stays right either way.
"""

import os
import sys
import time

READ_EVERY_S = 0.2


class _Offset:
    """Seconds, from a file that the drill writes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read_s = -READ_EVERY_S
        self._value = 0.0

    def __call__(self) -> float:
        now_s = time.monotonic()  # noqa: TID251 - there is no clock of ours yet
        if now_s - self._read_s >= READ_EVERY_S:
            self._read_s = now_s
            with open(self._path, encoding="ascii") as file:  # noqa: PTH123
                self._value = float(file.read())
        return self._value


def _patch(offset: _Offset) -> None:
    from datetime import datetime, timedelta

    from realtime.clock import SystemClock

    right_time, right_now = time.time, SystemClock.now  # noqa: TID251

    def now(self: SystemClock) -> datetime:
        return right_now(self) + timedelta(seconds=offset())

    time.time = lambda: right_time() + offset()  # noqa: TID251
    SystemClock.now = now  # type: ignore[method-assign]


def _skew() -> None:
    env = os.environ
    if not env.get("WEDSYNC_SLOT") or env["WEDSYNC_SLOT"] != env.get("WEDSYNC_SKEW_SLOT"):
        return
    path, library = env["WEDSYNC_SKEW_FILE"], env.get("WEDSYNC_SKEW_LIBRARY", "")
    if not library:
        _patch(_Offset(path))
    elif env.get("LD_PRELOAD") != library:
        faked = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": path, "FAKETIME_CACHE_DURATION": "1"}
        right = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        os.execve(sys.executable, sys.orig_argv, {**env, **faked, **right})


_skew()
