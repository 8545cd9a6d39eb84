"""The real HAProxy with our configuration, arranged through its admin socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from realtime.adapters import haproxy
from realtime.adapters.haproxy import HAProxy, HAProxyError, _numbers
from realtime.policy.balancing import Server
from tests.conftest import missing
from tests.processes import ROOT, Processes, free_port, wait_until

pytestmark = pytest.mark.acceptance
CONFIG = str(ROOT / "deploy/haproxy.cfg")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + (
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Worker: %s\r\n\r\n"  # RFC 6455 section 1.3, answer to KEY
)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Backend:
    """A worker as HAProxy sees one: ready, upgrades, keeps the socket."""

    def __init__(self, slot: str) -> None:
        self.slot, self.ended = slot, 0
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None

    async def __aenter__(self) -> Backend:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()

    @property
    def address(self) -> str:
        assert self.server is not None
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /openz"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            else:
                writer.write(SWITCHING % self.slot.encode())
                self.writers.append(writer)
                await reader.read()
                self.ended += 1
        writer.close()


class Visitor:
    """One socket through HAProxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, worker: str) -> None:
        self.reader, self.writer, self.worker = reader, writer, worker

    @classmethod
    async def come(cls, port: int, wedding: str) -> Visitor:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13"
        writer.write(f"GET /ws/weddings/{wedding}/ HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert " 101 " in head, head
        return cls(reader, writer, head.partition("x-worker: ")[2].partition("\r\n")[0])

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    @property
    def there(self) -> bool:
        return not self.reader.at_eof()


class Proxy:
    """HAProxy, started and reloaded."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.port, self.processes, self.socket = free_port(), processes, folder / "admin.sock"
        homes = folder / "homes.map"
        homes.touch()
        self.env = {
            "WEDSYNC_HAPROXY_SOCKET": str(self.socket),
            "WEDSYNC_HAPROXY_BIND": f"127.0.0.1:{self.port}",
            "WEDSYNC_HAPROXY_HOMES": str(homes),
            "WEDSYNC_WEB": f"127.0.0.1:{free_port()}",
        }
        self.visitors: list[Visitor] = []
        self.front = HAProxy(str(self.socket), homes_map=str(homes))

    async def visitor(self, wedding: str) -> Visitor:
        self.visitors.append(await Visitor.come(self.port, wedding))
        return self.visitors[-1]

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["haproxy", "-c", "-f", CONFIG], env=os.environ | self.env, capture_output=True, text=True, timeout=20
        )

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        process = self.processes.start("haproxy", "-db", "-f", CONFIG, *more, name="haproxy", **self.env)
        wait_until(self.socket.exists, "HAProxy has its admin socket")
        return process


@pytest.fixture
async def proxy(processes: Processes, tmp_path: Path) -> AsyncIterator[Proxy]:
    if shutil.which("haproxy") is None:
        missing("HAProxy", "haproxy")
    started = Proxy(processes, tmp_path)
    yield started
    for visitor in started.visitors:
        await visitor.leave()


@pytest.fixture
async def backends() -> AsyncIterator[list[Backend]]:
    async with Backend("w1") as one, Backend("w2") as two, Backend("w3") as three:
        yield [one, two, three]


def servers(backends: list[Backend], **weights: float) -> list[Server]:
    return [Server(backend.slot, backend.address, weights.get(backend.slot, 1.0)) for backend in backends]


async def arranged(proxy: Proxy, wanted: list[Server], homes: dict[str, str] | None = None) -> None:
    """Until it is so: HAProxy removes a server only when it has let go of its last socket."""
    for _ in range(200):
        await proxy.front.arrange(wanted, homes or {})
        if set(await proxy.front.sockets()) == {server.slot for server in wanted}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("HAProxy does not come to what was asked for")


async def crowd(proxy: Proxy, weddings: int, each: int) -> dict[str, list[Visitor]]:
    return {f"k{i}": [await proxy.visitor(f"k{i}") for _ in range(each)] for i in range(weddings)}


def whole(crowd: dict[str, list[Visitor]]) -> float:
    return sum(len({visitor.worker for visitor in visitors}) == 1 for visitors in crowd.values()) / len(crowd)


async def test_the_configuration_is_valid(proxy: Proxy) -> None:
    checked = proxy.check()
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


async def test_workers_come_go_and_drain_under_load_and_nobody_is_cut_off(proxy: Proxy, backends: list[Backend]) -> None:
    proxy.start()
    await arranged(proxy, servers(backends[:2]))
    before = await crowd(proxy, 60, 4)
    assert whole(before) >= 0.9
    assert set(await proxy.front.sockets()) == {"w1", "w2"}

    await arranged(proxy, servers(backends))
    newcomers = await crowd(proxy, 60, 2)
    assert Counter(v.worker for vs in newcomers.values() for v in vs)["w3"] > 0

    await proxy.front.arrange(servers(backends, w2=0.0), {})
    drained = await crowd(proxy, 40, 2)
    assert all(v.worker != "w2" for vs in drained.values() for v in vs)

    with contextlib.suppress(HAProxyError):
        await proxy.front.arrange(servers([backends[0], backends[2]]), {})
    assert "w2" in await proxy.front.sockets()  # it still has people
    everybody = [v for vs in (*before.values(), *newcomers.values(), *drained.values()) for v in vs]
    assert all(visitor.there for visitor in everybody)
    assert [backend.ended for backend in backends] == [0, 0, 0]

    for visitor in everybody:
        if visitor.worker == "w2":
            await visitor.leave()
    await arranged(proxy, servers([backends[0], backends[2]]))
    assert all(visitor.there for visitor in everybody if visitor.worker != "w2")


async def test_a_wedding_that_was_moved_is_found_in_its_new_home(proxy: Proxy, backends: list[Backend]) -> None:
    proxy.start()
    await arranged(proxy, servers(backends))
    await crowd(proxy, 30, 1)  # with two or three sockets HAProxy's bound decides, not its hash
    by_hash = (await proxy.visitor("ana-tom")).worker
    other = next(backend.slot for backend in backends if backend.slot != by_hash)
    await proxy.front.arrange(servers(backends), {"ana-tom": other})
    assert (await proxy.visitor("ana-tom")).worker == other
    await proxy.front.arrange(servers(backends, **{other: 0.0}), {"ana-tom": other})
    assert (await proxy.visitor("ana-tom")).worker != other
    await proxy.front.arrange(servers(backends), {})
    assert (await proxy.visitor("ana-tom")).worker == by_hash


async def test_a_worker_is_reached_by_its_name_too(
    proxy: Proxy, backends: list[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def numbers(host: str, port: str) -> list[str]:
        await asyncio.Event().wait() if host == "hangs" else None
        return await _numbers(host, port)

    monkeypatch.setattr(haproxy, "_numbers", numbers)
    proxy.start()
    named = Server("w1", backends[0].address.replace("127.0.0.1", "localhost"))
    await proxy.front.arrange([named, Server("w2", "hangs:1")], {})
    visitor = await proxy.visitor("anna-ben")
    await proxy.front.arrange([named], {})
    assert set(await proxy.front.sockets()) == {"w1"} and visitor.there and visitor.worker == "w1"
    assert (await proxy.visitor("anna-ben")).worker == "w1"


async def test_a_worker_that_was_half_added_is_looked_after_all_the_same(proxy: Proxy, backends: list[Backend]) -> None:
    proxy.start()
    await proxy.front._add(servers(backends)[0])  # and then the control loop ended
    assert not (await proxy.front._known())["w1"].checked
    for _ in range(2):
        await proxy.front.arrange(servers(backends), {})
    assert all(known.checked for known in (await proxy.front._known()).values())
    assert (await proxy.visitor("ana-tom")).there


async def test_what_a_reload_forgets_is_put_back_and_weights_follow(proxy: Proxy, backends: list[Backend]) -> None:
    old = proxy.start()
    await arranged(proxy, servers(backends))
    visitor = await proxy.visitor("ana-tom")
    proxy.start("-sf", str(old.pid), "-x", str(proxy.socket))

    async def forgotten() -> bool:
        try:
            return await proxy.front.sockets() == {}
        except OSError:
            return False

    for _ in range(200):
        if await forgotten():
            break
        await asyncio.sleep(0.05)
    assert await forgotten()
    await arranged(proxy, servers(backends, w3=0.1))
    again = await proxy.visitor("ana-tom")
    assert visitor.there and again.there
    got = Counter(v.worker for vs in (await crowd(proxy, 120, 1)).values() for v in vs)
    assert got["w3"] < min(got["w1"], got["w2"]) / 2


async def test_a_proxy_that_is_away_is_an_error_one_can_catch(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        await HAProxy(str(tmp_path / "nobody.sock")).arrange([], {})
