"""A fleet behind one port: it starts, heals itself, is replaced unseen, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from functools import partial

import psutil
import pytest

from realtime.adapters.processes import LocalWorkers
from tests.acceptance.crowd import MIX, Crowd
from tests.processes import FleetServer, Processes, Server, answers, wait_until

pytestmark = pytest.mark.acceptance
ROOM = "rose-garden"


@pytest.fixture
def fleet(processes: Processes) -> FleetServer:
    processes.demo()
    return processes.fleet()


def named(fleet: FleetServer, name: str) -> int:
    """The pid of the process whose id begins so."""
    return next(row["pid"] for row in fleet.fleet()["processes"] if row["id"].startswith(name))


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.mark.unhurried
async def test_it_needs_nothing_and_shows_its_workers(processes: Processes, fleet: FleetServer) -> None:
    url = fleet.url.replace("http", "ws")
    async with Crowd(processes, ROOM, [url], MIX) as crowd:
        await crowd.talk(0, {"planner": 3, "vendor": 2}, "a")
        await crowd.settled()
        wait_until(lambda: sum(row["connections"] for row in fleet.workers()) == 20, "the connections are counted")
        rows = json.loads(processes.manage("fleet", "--json"))["workers"]
        assert [(row["slot"], row["state"]) for row in rows] == [("w1", "ready"), ("w2", "ready")]
        assert all(psutil.pid_exists(row["pid"]) for row in rows)
        assert await asyncio.to_thread(answers, f"{fleet.url}/login/")
    assert crowd.report().violations == []


def test_nobody_is_left_when_the_supervisor_is_killed(fleet: FleetServer) -> None:
    pids = fleet.pids()
    assert len(pids) == 6  # dispatcher, web, two workers, control loop, Redis
    os.kill(fleet.workers()[0]["pid"], signal.SIGSTOP)
    fleet.kill()
    wait_until(lambda: alive(pids) == [], "all of them are gone", timeout_s=5)


async def goodbyes(processes: Processes, server: Server) -> list[int]:
    """The codes that twenty members hear when `server` gets SIGTERM; it has ended within 10 s."""
    async with Crowd(processes, ROOM, [server.url.replace("http", "ws")], MIX) as crowd:
        codes: list[int] = []
        for client, _, _ in crowd.groups[0]:
            closed, session = client.session.closed, client.session

            def noting(code: int, now_s: float, closed=closed, session=session) -> object:  # type: ignore[no-untyped-def]
                codes.append(session._goodbye.code if session._goodbye else code)
                return closed(code, now_s)

            session.closed = noting  # type: ignore[method-assign, assignment]
        start_s = time.monotonic()
        await asyncio.to_thread(server.stop)
        assert time.monotonic() - start_s < 10
    return codes[:20]


async def test_sigterm_says_goodbye_to_everybody_and_ends_everything(processes: Processes, fleet: FleetServer) -> None:
    pids = fleet.pids()
    assert await goodbyes(processes, fleet) == [4001] * 20
    assert fleet.process.returncode == 0
    assert alive(pids) == []


async def test_a_daphne_that_is_alone_says_goodbye_too(processes: Processes) -> None:
    processes.demo()
    server = await asyncio.to_thread(partial(processes.server, asgi="daphne"))
    assert await goodbyes(processes, server) == [4001] * 20
    assert server.process.returncode == 0


def test_a_dead_dispatcher_is_replaced_and_nobody_is_refused(fleet: FleetServer) -> None:
    os.kill(named(fleet, "dispatcher"), signal.SIGKILL)
    until_s = time.monotonic() + 3
    while time.monotonic() < until_s:
        assert answers(f"{fleet.url}/healthz")


def test_every_part_is_started_again(fleet: FleetServer) -> None:
    before = fleet.pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    start_s = time.monotonic()
    wait_until(lambda: answers(f"{fleet.url}/readyz"), "it answers again", timeout_s=10)
    wait_until(lambda: [row["state"] for row in fleet.workers()] == ["ready", "ready"], "its workers are ready", timeout_s=10)
    assert time.monotonic() - start_s < 9
    assert not set(before) & set(fleet.pids())


def test_half_a_request_line_is_waited_for_but_not_for_ever(fleet: FleetServer) -> None:
    dispatcher = psutil.Process(named(fleet, "dispatcher"))  # asked before the clock of a connection runs
    with (
        socket.create_connection(("127.0.0.1", fleet.port)) as slow,
        socket.create_connection(("127.0.0.1", fleet.port)) as long,
    ):
        busy_s = dispatcher.cpu_times().user
        start_s = time.monotonic()
        slow.sendall(b"GET /healthz HT")
        long.sendall(b"GET /" + b"x" * 5_000)
        long.settimeout(5)
        assert long.recv(100).startswith(b"HTTP/1.1 400")
        slow.settimeout(15)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        assert 8 < time.monotonic() - start_s < 11
        # Waiting for the rest of a line is no work.
        assert dispatcher.cpu_times().user - busy_s < 1.0


@pytest.mark.unhurried
def test_more_than_sqlite_can_take_is_refused_with_the_way_out(processes: Processes) -> None:
    with pytest.raises(AssertionError, match="DATABASE_URL"):
        processes.manage("serve", "--workers", "3")


@pytest.mark.unhurried
def test_without_a_fleet_the_command_says_how_to_start_one(processes: Processes) -> None:
    with pytest.raises(AssertionError, match=r"manage\.py serve"):
        processes.manage("fleet")


@pytest.mark.unhurried
def test_sighup_replaces_every_process_but_the_supervisor(fleet: FleetServer) -> None:
    redis, before = named(fleet, "redis"), set(fleet.pids())
    fleet.process.send_signal(signal.SIGHUP)
    wait_until(lambda: before & set(fleet.pids()) == {redis}, "all of them are new", timeout_s=40)
    wait_until(lambda: [row["state"] for row in fleet.workers()] == ["ready", "ready"], "they are ready")
    assert answers(f"{fleet.url}/readyz")


@pytest.mark.unhurried
async def test_a_fleet_shrinks_and_grows_while_people_stay(processes: Processes, fleet: FleetServer) -> None:
    workers = LocalWorkers(processes.folder / "var")
    async with Crowd(processes, ROOM, [fleet.url.replace("http", "ws")], MIX) as crowd:
        for count in (1, 2):
            await workers.set_count(count, "test")
            await asyncio.to_thread(wait_until, lambda: len(fleet.workers()) == count, f"there are {count}")  # noqa: B023
            await crowd.talk(0, {"planner": 3, "vendor": 2}, f"n{count}")
            await workers.settled()
        await crowd.settled()
        assert await asyncio.to_thread(workers.count) == 2
        assert all(client.session.connections == 1 for client, _, _ in crowd.groups[0])
    assert crowd.report().violations == []
