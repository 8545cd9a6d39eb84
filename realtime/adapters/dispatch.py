"""The dispatcher of this machine as a front: it reads from the registry where weddings have moved to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from realtime.policy.balancing import Server
from realtime.ports import Registry

HOMES = "homes"
HOMES_TTL_S = 60.0
"""Without a control loop the hash alone decides again after a minute; those who are connected stay where they are."""


class DispatcherFront:
    """`realtime.ports.Front`: leaves a note. The dispatcher knows the workers by itself."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def arrange(self, servers: Sequence[Server], homes: Mapping[str, str]) -> None:
        await self._registry.note(HOMES, msgspec.msgpack.encode(dict(homes)), HOMES_TTL_S)


async def read_homes(registry: Registry) -> dict[str, str]:
    """{wedding: slot}, for the dispatcher."""
    noted = await registry.read(HOMES)
    return msgspec.msgpack.decode(noted, type=dict[str, str]) if noted else {}
