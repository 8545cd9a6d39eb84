"""The dispatcher of this machine as a front: through the supervisor it hears where weddings have moved to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from realtime.fleet import remote
from realtime.policy.balancing import Server


class DispatcherFront:
    """`realtime.ports.Front` over `manage.py serve`. `var`: the folder of the installation.

    The dispatcher knows the workers by itself, and hears of the homes before anybody is asked to move there.
    """

    hashes_alike = True

    def __init__(self, var: Path) -> None:
        self._var = var
        self._homes: dict[str, str] | None = None

    async def arrange(self, servers: Sequence[Server], homes: Mapping[str, str]) -> None:
        if self._homes == dict(homes):
            return
        request = {"do": "homes", "homes": dict(homes)}
        try:
            answer: dict[str, Any] = await asyncio.to_thread(next, remote.ask(self._var, request), {})
        except remote.NoFleet as error:
            raise OSError(str(error)) from error
        if not answer.get("done"):
            why = answer.get("error") or "it does not listen, or is gone"
            raise OSError(f"the dispatcher cannot be told where weddings have moved to: {why}")
        self._homes = dict(homes)
