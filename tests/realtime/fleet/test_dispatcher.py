"""The dispatcher when it may open no more files."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from realtime.fleet import passing
from realtime.fleet.dispatcher import Dispatcher
from realtime.fleet.processes import allow_files


class Door:
    """A dispatcher whose turns the test takes, and those who come to it."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack, self.clients = stack, list[socket.socket]()
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ours, theirs = (stack.enter_context(end) for end in passing.pair())
        self.dispatcher, self.ours = Dispatcher(self.listener, theirs, None), ours
        stack.callback(self.dispatcher._epoll.close)

    def come(self, n: int) -> None:
        for _ in range(n):
            client = self.stack.enter_context(socket.create_connection(self.listener.getsockname()))
            client.sendall(b"GET /ws/wedd")
            self.clients.append(client)

    @property
    def listens(self) -> bool:
        return self.listener.fileno() in self.dispatcher._handlers

    def tick(self) -> None:
        self.dispatcher._tick(self.dispatcher._clock.monotonic())


@pytest.fixture
def door() -> Iterator[Door]:
    with ExitStack() as stack:
        made = Door(stack)
        yield made
        for visitor in list(made.dispatcher._reading.values()):
            made.dispatcher._forget(visitor)


def test_it_keeps_files_for_what_the_supervisor_sends_and_does_not_spin_meanwhile(door: Door) -> None:
    door.dispatcher._files = 2
    door.come(3)
    door.dispatcher._accept()
    door.dispatcher._accept()
    assert len(door.dispatcher._reading) == 2 and not door.listens  # the third waits in the kernel
    door.tick()
    assert door.listens
    door.dispatcher._forget(next(iter(door.dispatcher._reading.values())))
    door.dispatcher._accept()
    assert len(door.dispatcher._reading) == 2


def test_when_the_kernel_has_none_left_it_waits_for_the_next_tick(door: Door) -> None:
    door.come(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (door.clients[0].fileno(), hard))
    try:
        door.dispatcher._accept()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not door.dispatcher._reading and not door.listens
    door.tick()
    door.dispatcher._accept()
    assert len(door.dispatcher._reading) == 1


def test_a_dispatcher_that_stops_does_not_listen_again(door: Door) -> None:
    door.dispatcher._files = 0
    door.dispatcher._accept()
    door.dispatcher.stop()
    door.tick()
    assert not door.listens


def test_a_fleet_may_open_as_many_files_as_the_machine_lets_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
    try:
        allow_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert soft == min(hard, 1 << 20) and hard == before[1]
