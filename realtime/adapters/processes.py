"""The workers of this machine for the scaler: it asks the supervisor that runs here."""

from __future__ import annotations

import asyncio
from pathlib import Path

from realtime.fleet import remote

SILENCE_S = 120.0
"""Between two steps of the supervisor, which may have to wait until another worker is ready."""


class LocalWorkers:
    """`realtime.ports.Workers` over `manage.py serve`. `var`: the folder of the installation."""

    def __init__(self, var: Path) -> None:
        self._var = var
        self._changing: asyncio.Task[None] | None = None
        self._changing_to = 0

    def count(self) -> int | None:
        """How many slots there are, None when no supervisor answers."""
        try:
            return int(next(remote.ask(self._var, {"do": "fleet"}))["slots"])
        except (remote.NoFleet, OSError, StopIteration):
            return None

    async def set_count(self, n: int, reason: str) -> None:
        """Begin to have `n`. Returns without waiting for workers to be ready or people to move.

        Raises OSError when the last change came to nothing, or another one has not got all its workers yet: then this one is
        not begun, and is to be asked for again."""
        if self._changing is not None and self._changing.done():
            done, self._changing = self._changing, None
            done.result()
        if self._changing is None:
            request = {"do": "scale", "workers": n, "reason": reason}
            self._changing_to = n
            self._changing = asyncio.create_task(asyncio.to_thread(self._change, request), name="scale")
        elif n != self._changing_to:
            raise OSError(f"the change to {self._changing_to} is under way")

    async def settled(self) -> None:
        """Wait for the workers that are being started. Raises OSError when that comes to nothing."""
        if self._changing is not None:
            await self._changing

    def _change(self, request: dict[str, object]) -> None:
        try:
            for step in remote.ask(self._var, request, SILENCE_S):
                if "arranged" in step:
                    return  # the rest, people who are to leave, it does without us
        except remote.NoFleet as error:
            raise OSError(str(error)) from error
