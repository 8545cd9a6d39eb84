"""Sockets change hands, and are never in two."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from realtime.adapters.daphne_worker import Porter
from realtime.fleet import passing
from realtime.fleet.passing import Homes, Known, Leave, Pass, Seen, Standing, Status, Taken
from tests.fakes import ManualClock


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    mine, theirs = passing.pair()
    with mine, theirs:
        yield mine, theirs


@pytest.fixture
def worker(ends: tuple[socket.socket, socket.socket]) -> Worker:
    return Worker(*ends)


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the client, the dispatcher's copy of the socket)."""
    client, server = socket.socketpair()
    with client, server:
        yield client, server


Pair = tuple[socket.socket, socket.socket]


def test_every_message_arrives_as_it_was_said(ends: Pair) -> None:
    mine, theirs = ends
    status = Status("h.1.a", 1, "ready", canaries={"h.2.b": None})
    for message in (status, Leave("deploy", 60.0), Known(["w1.1"], "web.1"), Seen({"w1.1": Standing("ready", "", status)})):
        assert passing.send(mine, message)
        assert passing.receive(theirs) == (message, [])
    assert passing.receive(theirs) == "nothing"
    mine.close()
    assert passing.receive(theirs) == "closed"


class Worker:
    """A worker's end, with what it adopted."""

    def __init__(self, dispatcher: socket.socket, end: socket.socket) -> None:
        self.clock = ManualClock()
        self.dispatcher = dispatcher
        self.adopted: list[int] = []
        self.porter = Porter(end, self.clock, self.adopted.append, lambda order: None)

    def offer(self, copy: socket.socket) -> None:
        assert passing.send_pass(self.dispatcher, 7, 0.5, [copy.fileno()])


def test_a_socket_is_taken_and_that_is_said(worker: Worker, wire: Pair) -> None:
    client, copy = wire
    worker.offer(copy)
    worker.porter.hear()
    assert passing.receive(worker.dispatcher) == (Taken(7, 1), [])
    copy.close()
    client.sendall(b"hello")
    assert os.read(worker.adopted[0], 5) == b"hello"
    os.close(worker.adopted[0])
    assert worker.porter.passes_total == 1


def test_an_expired_socket_is_closed_unread_and_still_good_elsewhere(worker: Worker, wire: Pair) -> None:
    client, copy = wire
    worker.offer(copy)
    client.sendall(b"hello")
    worker.clock.elapsed_s = 0.6
    worker.porter.hear()
    assert worker.adopted == []
    assert passing.receive(worker.dispatcher) == "nothing"
    assert copy.recv(5) == b"hello"


def test_a_worker_that_was_stopped_after_saying_so_does_not_adopt(worker: Worker, wire: Pair) -> None:
    times = iter([0.4, 0.7])
    worker.clock.monotonic = lambda: next(times)  # type: ignore[method-assign]
    worker.offer(wire[1])
    worker.porter.hear()
    assert worker.adopted == []


def test_a_pass_arrives_with_its_descriptors(ends: Pair, wire: Pair) -> None:
    mine, theirs = ends
    assert passing.send_pass(mine, 3, 1.5, [end.fileno() for end in wire])
    heard = passing.receive(theirs)
    assert isinstance(heard, tuple) and isinstance(heard[0], Pass)
    assert (heard[0].id, heard[0].until_s, len(heard[0].fds)) == (3, 1.5, 2)
    for fd in heard[0].fds:
        os.close(fd)


def test_the_homes_of_a_whole_saturday_fit(ends: Pair) -> None:
    mine, theirs = ends
    homes = Homes({f"wedding-of-somebody-{number}": f"w{number % 64}" for number in range(2_700)})
    assert passing.send(mine, homes)
    assert passing.receive(theirs, passing.CONTROL_MAX_BYTES) == (homes, [])


def test_a_worker_that_is_short_of_files_takes_as_many_as_it_can(worker: Worker, wire: Pair) -> None:
    client, copy = wire
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(copy.fileno())
    os.close(lowest)
    assert passing.send_pass(worker.dispatcher, 7, 0.5, [copy.fileno(), client.fileno()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        worker.porter.hear()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert passing.receive(worker.dispatcher) == (Taken(7, 1), []), "the second one is passed to somebody else"
    assert worker.porter.passes_total == len(worker.adopted) == 1
    os.close(worker.adopted[0])


def test_a_worker_without_free_files_takes_nobody_and_the_socket_stays_good(worker: Worker, wire: Pair) -> None:
    client, copy = wire
    worker.offer(copy)
    client.sendall(b"hello")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(copy.fileno())
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        worker.porter.hear()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert worker.adopted == [] and worker.porter.passes_total == 0
    assert passing.receive(worker.dispatcher) == "nothing", "nobody was told that it is taken"
    assert copy.recv(5) == b"hello"
