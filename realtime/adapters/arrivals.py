"""When the kernel had what is being read: what waited for a loop that was busy, or stood still, has waited from then on.

The kernel stamps every segment with its own wall clock (`SO_TIMESTAMPNS`, socket(7)); a read gets the stamp of its last one.
Of several messages in one read the earlier ones count from that, too: who speaks seldom, as people do, sends one at a time.
That takes half a microsecond. How far that clock is from the monotonic one is asked of the kernel, too: a clock that is set, or
that a process is lied to about, moves no latency.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from math import inf
from socket import SOL_SOCKET
from struct import Struct

from realtime.clock import Clock

SO_TIMESTAMPNS = 35
"""asm-generic/socket.h; `socket` does not name it."""
_STAMP = Struct("@qq")
STAMP_BYTES = _STAMP.size
ANCILLARY_BYTES = socket.CMSG_SPACE(STAMP_BYTES)
_unpacked = _STAMP.unpack
Ancillary = Sequence[tuple[int, int, bytes]]

COMPARED_EVERY_S = 1.0
"""Clocks that are slewed drift by half a millisecond a second at the most (adjtimex(2))."""
COMPARISONS = 3
"""The shortest of them counts: the others may have been interrupted."""
DOUBTED_S, ASKED_AGAIN_S = 0.02, 0.01
"""Who has waited so long may come from a clock that was set: the clocks are compared again, though not for each of a crowd."""


def stamped(raw: socket.socket) -> None:
    """From now on `raw` tells when it received what is read."""
    raw.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)


def stamp_s(ancillary: Ancillary) -> float | None:
    """The kernel's stamp, on its wall clock; None where it gives none."""
    for level, kind, value in ancillary:
        if kind == SO_TIMESTAMPNS and level == SOL_SOCKET and len(value) == STAMP_BYTES:
            seconds, nanoseconds = _unpacked(value)
            moment_s: float = seconds + nanoseconds * 1e-9
            return moment_s
    return None


class Arrivals:
    """Stamps on the monotonic clock, of the one thing that is being read just now."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic
        self._ancillary: Ancillary = ()
        self._ahead_s = 0.0
        self._known_until_s = self._asked_again_s = -inf
        self._ends: tuple[socket.socket, socket.socket] | None = None
        """Of what is sent to and fro to compare the clocks."""

    def read(self, raw: socket.socket, n_bytes: int) -> bytes:
        """What `raw` has; since when, `current_s` tells. Raises what `recvmsg` does."""
        data, self._ancillary, _, _ = raw.recvmsg(n_bytes, ANCILLARY_BYTES)
        return data

    def done(self) -> None:
        """What was read has been taken."""
        self._ancillary = ()

    def current_s(self) -> float | None:
        """When the kernel had what is being read; None when nothing is, or nobody knows. Of pings nobody asks."""
        # For every publication, after a pause in which the processor has forgotten all this: no loop, no call, no `min`.
        if not self._ancillary:
            return None
        _, kind, value = self._ancillary[0]  # nothing else was asked for
        if kind != SO_TIMESTAMPNS or len(value) != STAMP_BYTES:
            return None
        seconds, nanoseconds = _unpacked(value)
        now_s, moment_s = self._now_s(), seconds + nanoseconds * 1e-9 - self._ahead_s
        if now_s > self._known_until_s or (now_s - moment_s > DOUBTED_S and now_s > self._asked_again_s):
            moment_s += self._ahead_s
            self._compare()
            moment_s -= self._ahead_s
        return moment_s if moment_s < now_s else now_s

    def close(self) -> None:
        """It can be used again."""
        for end in self._ends or ():
            end.close()
        self._ends = None

    def _compare(self) -> None:
        if self._ends is None:
            # What has no stamp of a network gets one when it is read.
            self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            stamped(self._ends[1])
        best_s, (asking, answering) = inf, self._ends
        for _ in range(COMPARISONS):
            asking.send(b"?")
            before_s = self._now_s()
            kernel_s = stamp_s(answering.recvmsg(1, ANCILLARY_BYTES)[1])
            after_s = self._now_s()
            if kernel_s is not None and after_s - before_s < best_s:
                best_s = after_s - before_s
                self._ahead_s = kernel_s - (before_s + after_s) / 2
        self._known_until_s, self._asked_again_s = after_s + COMPARED_EVERY_S, after_s + ASKED_AGAIN_S
