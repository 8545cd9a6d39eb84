"""Since when the kernel has had what is read, whatever the wall clock does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from realtime.adapters.arrivals import Arrivals, stamp_s, stamped
from realtime.clock import SystemClock

INTERRUPTED_S = 0.01
"""A machine that is busy may keep a test from going on for so long."""


class ShiftedClock(SystemClock):
    """As far from the kernel's as a test wants it."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as theirs:
        ours, _ = server.accept()
        with ours, closing(Arrivals(SystemClock())) as arrivals:
            stamped(ours)
            while arrivals.current_s() is None:  # the kernel begins a moment after the first one has asked for it
                theirs.send(b"!")
                arrivals.read(ours, 1)
            yield theirs, ours


def test_what_waited_to_be_read_arrived_before(pair: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = pair
    clock = SystemClock()
    with closing(Arrivals(clock)) as arrivals:
        before_s = clock.monotonic()
        theirs.send(b"hello")
        sent_s = clock.monotonic()
        while clock.monotonic() < sent_s + 3 * INTERRUPTED_S:  # the loop of a worker that is busy
            pass
        assert arrivals.read(ours, 100) == b"hello"
        arrived_s = arrivals.current_s()
        assert arrived_s is not None and before_s - INTERRUPTED_S <= arrived_s <= sent_s + INTERRUPTED_S
        arrivals.done()
        assert arrivals.current_s() is None


def test_a_clock_that_is_set_makes_nothing_late(pair: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = pair
    clock = ShiftedClock()
    with closing(Arrivals(clock)) as arrivals:
        for ahead_s in (0.0, 5.0, 3_600.0, -7_200.0):
            clock.ahead_s = ahead_s
            before_s = clock.monotonic()
            theirs.send(b"hello")
            arrivals.read(ours, 100)
            arrived_s = arrivals.current_s()
            assert arrived_s is not None and before_s - INTERRUPTED_S <= arrived_s <= clock.monotonic()


def test_what_the_kernel_did_not_stamp_is_not_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"hello")
        arrivals = Arrivals(SystemClock())
        assert arrivals.read(ours, 100) == b"hello"
        assert arrivals.current_s() is None
    assert stamp_s([]) is None and stamp_s([(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\0\0\0\0")]) is None
