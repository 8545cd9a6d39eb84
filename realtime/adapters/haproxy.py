"""HAProxy as a front: its Runtime API makes it what the balancer wants, whatever a reload has forgotten (ops.md 3.5).

Servers added at runtime vanish with a reload; so everything is compared and put right every few seconds. Works with 2.6, which
has no `wait`: a server that is to go is asked for its sockets each time until it has none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import socket
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from realtime.policy.balancing import Server

logger = logging.getLogger(__name__)

WEIGHT = 100
"""Of a warm worker. All the same: HAProxy's ring is coarse with small numbers."""
ANSWER_S = 5.0
ANSWER_MAX_BYTES = 4_000_000
RESOLVED_S = 0.5
"""For a name: one that cannot be resolved must not keep the others waiting."""
_CHECK = "check inter 1s fastinter 500ms fall 2 rise 2 maxconn 20000"
"""A worker that hangs gets no new sockets after two to three seconds."""
_CHECKED = 0x04
"""Of `srv_check_state` (management guide 9.3): the check is enabled, not only configured."""


class HAProxyError(OSError):
    """HAProxy refused a command."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A server as HAProxy has it. `state`: ready, drain or maint."""

    address: str
    weight: int
    state: str
    checked: bool


class HAProxy:
    """`realtime.ports.Front` for one HAProxy. Its ring is not our hash."""

    hashes_alike = False

    def __init__(self, socket_path: str, backend: str = "realtime", homes_map: str = "/etc/haproxy/homes.map") -> None:
        """`homes_map`: the name of the map file as `haproxy.cfg` has it."""
        self._path, self._backend, self._map = socket_path, backend, homes_map
        self._asked: dict[str, asyncio.Future[list[str]]] = {}

    async def arrange(self, servers: Sequence[Server], homes: Mapping[str, str]) -> None:
        known = await self._known()
        numbers = {slot: have.address for slot, have in known.items()}
        found = [replace(s, address=await self._by_number(s.address, numbers.get(s.slot, ""))) for s in servers if s.address]
        wanted = {server.slot: server for server in found if server.address}
        for slot, server in wanted.items():
            have = known.get(slot)
            if have is not None and have.address != server.address:
                if not await self._remove(slot, have):
                    continue  # the old one still has people; the new one waits for its place
                have = None
            if have is None:
                await self._add(server)
                have = _Known(server.address, WEIGHT, "maint", checked=False)
            await self._set(server, have)
        for slot in known.keys() - wanted.keys():
            await self._remove(slot, known[slot])
        # A rule that names a server is followed even while that server drains; so only the homes of able ones are named.
        # Of a wedding with shards HAProxy knows only the path: its bound on load spreads it.
        able = {slot for slot, server in wanted.items() if server.weight > 0}
        await self._homes({wedding: slot for wedding, slot in homes.items() if slot in able and "#" not in wedding})

    async def sockets(self) -> dict[str, int]:
        """{slot: sockets} as HAProxy counts them."""
        rows = json.loads(await self._ask(f"show stat {self._backend} 4 -1 json"))
        fields = [{cell["field"]["name"]: cell["value"]["value"] for cell in row} for row in rows]
        return {row["svname"]: int(row["scur"]) for row in fields}

    async def pid(self) -> int:
        """Of the process that answers: another one after a reload."""
        lines = (await self._ask("show info")).splitlines()
        return next(int(line.removeprefix("Pid: ")) for line in lines if line.startswith("Pid: "))

    async def _known(self) -> dict[str, _Known]:
        lines = (await self._ask(f"show servers state {self._backend}")).splitlines()
        names = next((line for line in lines if line.startswith("#")), "#").lstrip("# ").split()
        rows = [dict(zip(names, line.split(), strict=False)) for line in lines if line and line[0].isdigit() and " " in line]
        return {
            row["srv_name"]: _Known(
                address=f"{row['srv_addr']}:{row['srv_port']}",
                weight=int(row["srv_uweight"]),
                state=_admin_state(int(row["srv_admin_state"])),
                checked=bool(int(row["srv_check_state"]) & _CHECKED),
            )
            for row in rows
        }

    async def _by_number(self, address: str, have: str) -> str:
        """`address` with a number in place of a name: HAProxy shows numbers only, and resolves no name of a server added at
        runtime. `have`: what HAProxy has for this worker; it stays while the name still means it, or cannot be resolved. "":
        not known yet."""
        host, _, port = address.rpartition(":")
        if _is_number(host):
            return address
        asked = self._asked.get(address)
        if asked is None:  # one question for each name, however long the answer takes
            asked = self._asked[address] = asyncio.ensure_future(_numbers(host, port))
        await asyncio.wait([asked], timeout=RESOLVED_S)
        if not asked.done():
            return have
        del self._asked[address]
        try:
            numbers = asked.result()
        except (OSError, ValueError) as error:
            logger.warning("the address of a worker, %s, cannot be resolved: %s", address, error)
            return have
        return have if have in numbers else numbers[0]

    async def _add(self, server: Server) -> None:
        name, number = f"{self._backend}/{server.slot}", zlib.crc32(server.slot.encode()) & 0x7FFFFFFF or 1
        await self._do(f"add server {name} {server.address} id {number} weight {WEIGHT} {_CHECK}", "New server registered.")

    async def _set(self, server: Server, have: _Known) -> None:
        name = f"{self._backend}/{server.slot}"
        if not have.checked:  # fresh, or added by a control loop that ended before it came to this
            await self._do(f"enable health {name}")
        state = "ready" if server.weight > 0 else "drain"
        if have.state != state:
            await self._do(f"set server {name} state {state}")
        weight = max(1, round(WEIGHT * server.weight))
        if state == "ready" and have.weight != weight:
            await self._do(f"set server {name} weight {weight}")

    async def _remove(self, slot: str, have: _Known) -> bool:
        """Drain it; once it has nobody, delete it. Whether it is gone."""
        name = f"{self._backend}/{slot}"
        if (await self.sockets()).get(slot, 0) > 0:
            if have.state != "drain":
                await self._do(f"set server {name} state drain")
            return False
        await self._do(f"set server {name} state maint")
        return (await self._ask(f"del server {name}")).strip() == "Server deleted."

    async def _homes(self, homes: Mapping[str, str]) -> None:
        shown = (await self._ask(f"show map {self._map}")).splitlines()
        have = {words[1]: words[2] for words in map(str.split, shown) if len(words) == 3}
        for wedding, slot in homes.items():
            if wedding not in have:
                await self._do(f"add map {self._map} {wedding} {slot}")
            elif have[wedding] != slot:
                await self._do(f"set map {self._map} {wedding} {slot}")
        for wedding in have.keys() - homes.keys():
            await self._do(f"del map {self._map} {wedding}")

    async def _do(self, command: str, expected: str = "") -> None:
        """Raises HAProxyError when the answer is another one."""
        answer = (await self._ask(command)).strip()
        if answer != expected:
            raise HAProxyError(f"{command}: {answer}")

    async def _ask(self, command: str) -> str:
        """One command, one answer. Raises OSError when HAProxy cannot be reached or is silent."""
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(self._path, limit=ANSWER_MAX_BYTES)
            try:
                writer.write(command.encode() + b"\n")
                return (await reader.read(-1)).decode()
            finally:
                writer.close()


def _admin_state(bits: int) -> str:
    """`srv_admin_state` (management guide 9.3): 0x01, 0x02, 0x20 are kinds of maintenance, 0x08 and 0x10 of drain."""
    maintenance, draining = 0x01 | 0x02 | 0x20, 0x08 | 0x10
    return "maint" if bits & maintenance else "drain" if bits & draining else "ready"


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


async def _numbers(host: str, port: str) -> list[str]:
    """The addresses that a name means now, IPv4 first (AF_INET is less than AF_INET6)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    return [":".join(map(str, where[:2])) for *_, where in sorted(found)]
