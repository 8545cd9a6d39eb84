"""The dispatcher: accepts, peeks at the request line, gives the socket to a worker, and is out of the way.

One thread and one epoll; edge-triggered for those that have not said their line yet, so that half a line does not spin.
Started by the supervisor with the listening socket, which the supervisor keeps: while a dead dispatcher is replaced,
connections wait in its queue and nobody is refused. Knows neither Django nor Twisted, and is up in a moment.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import os
import resource
import select
import signal
import socket
from collections.abc import Callable

from realtime.clock import SystemClock
from realtime.fleet import passing, processes
from realtime.fleet.desk import Desk, Visitor
from realtime.fleet.passing import Homes, Known, Seen, Status, Taken
from realtime.policy.limits import Rate, TokenBucket
from realtime.policy.request_line import LINE_MAX_BYTES, NoRequest, Target, Unfinished, destination

ACCEPTS_MAX = 64
"""In one turn: what was accepted is to be passed on before the next come."""
STORM, COLLECT_S = 20, 0.008
"""So many in one tick are a storm, in which it looks only every 8 ms: a look costs more than the one it would find."""
LINE_S = 8.0
"""For the request line, ten with what the kernel waits: a phone on a bad network needs seconds, a trickle must not stay."""
READING_MAX = 4_000
"""Unfinished request lines; beyond it the oldest one goes. A fifth of the open files a process may have here."""
ADDRESSES_MAX = 10_000
TICK_S = 0.05
SEEN_S = 0.25
STOP_S = 1.0
FILES_KEPT = 100
"""Of the open files it may have, for what comes from the supervisor: a deploy of 64 workers, the web process, its own."""
PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
WORKERS_NEEDED = ("/openz", "/readyz")
"""The web process answers these, and knows nothing of the workers."""
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What accept(2) says when there is nothing left to make a socket of."""
LOOPBACK = ("127.", "::1", "::ffff:127.")


class Dispatcher:
    """`run` until `stop`. `limit`: WebSocket connections of one address per second; None where all come from a proxy."""

    def __init__(self, listener: socket.socket, control: socket.socket, limit: Rate | None) -> None:
        self._clock = SystemClock()
        self._listener = listener
        self._control = control
        self._limit = limit
        self._epoll = select.epoll()
        self._desk = Desk()
        self._ends: dict[str, socket.socket] = {}
        self._handlers: dict[int, Callable[[], None]] = {}
        self._reading: dict[int, Visitor] = {}
        self._addresses: dict[str, TokenBucket] = {}
        self._stop_s: float | None = None
        self._id = int.from_bytes(os.urandom(6), "big")
        # Processes for which somebody waits since this turn began: those who come together are passed together.
        self._wanted: set[str] = set()
        self._came, self._storm = 0, False
        # As plain numbers: `accept` would ask for them, and make objects of a richer class, for each socket anew.
        self._kind = int(listener.family), int(listener.type), listener.proto
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._files = files - min(FILES_KEPT, files // 2) if files != resource.RLIM_INFINITY else processes.FILES_MAX
        self._full = False
        listener.setblocking(False)
        self._watch(listener, self._accept)
        self._watch(control, self._hear_supervisor)

    def stop(self) -> None:
        """Accept nobody any more; end when everybody is placed, or after `STOP_S`."""
        if self._stop_s is None:
            self._stop_s = self._clock.monotonic() + STOP_S
            self._unwatch(self._listener)

    def run(self) -> None:
        tick_s = seen_s = 0.0
        while True:
            for fd, _ in self._epoll.poll(TICK_S):
                if (handler := self._handlers.get(fd)) is not None:
                    handler()
                elif fd in self._reading:
                    self._peek(self._reading[fd], self._clock.monotonic())
            now_s = self._clock.monotonic()
            if now_s >= tick_s:
                tick_s = now_s + TICK_S
                self._tick(now_s)
            if now_s >= seen_s:
                seen_s = now_s + SEEN_S
                passing.send(self._control, self._seen(now_s))
            while self._wanted:
                self._pass(self._wanted.pop(), now_s)
            if self._storm:
                select.select((), (), (), COLLECT_S)
            if self._stop_s is not None and (now_s >= self._stop_s or not (self._desk.n_waiting or self._reading)):
                return

    # -- visitors -----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        now_s, accept, kind = self._clock.monotonic(), self._listener._accept, self._kind  # type: ignore[attr-defined]
        room = self._files - len(self._ends) - len(self._reading) - self._desk.n_waiting
        for _ in range(min(ACCEPTS_MAX, room)):
            try:
                fd, address = accept()
            except BlockingIOError:
                return
            except OSError as error:
                room = 0 if error.errno in SHORT else room
                break
            self._came += 1
            self._peek(Visitor(socket.SocketType(*kind, fd), address[0], now_s), now_s)
        if room <= 0:  # those that are here leave soon, the others wait in the kernel; until the next tick nobody looks there
            self._full = True
            self._unwatch(self._listener)

    def _peek(self, visitor: Visitor, now_s: float) -> None:
        sock = visitor.sock
        try:
            seen = sock.recv(LINE_MAX_BYTES, PEEK)
        except BlockingIOError:
            self._read_on(visitor)
            return
        except OSError:
            seen = b""
        if not seen:
            self._forget(visitor)
            return
        match destination(seen):
            case Target(path, wedding, lead):
                self._stop_reading(visitor)
                visitor.role = "planner" if lead else ""
                self._direct(visitor, path, wedding, now_s)
            case Unfinished():
                self._read_on(visitor)
            case NoRequest():
                self._refuse(visitor, "400 Bad Request")

    def _read_on(self, visitor: Visitor) -> None:
        fd = visitor.sock.fileno()
        if fd in self._reading:
            return
        if len(self._reading) >= READING_MAX:
            self._forget(next(iter(self._reading.values())))
        self._reading[fd] = visitor
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def _stop_reading(self, visitor: Visitor) -> None:
        if self._reading and self._reading.pop(fd := visitor.sock.fileno(), None) is not None:
            self._epoll.unregister(fd)

    def _direct(self, visitor: Visitor, path: str, wedding: str, now_s: float) -> None:
        """Give the visitor a place in the queue of a worker, or of the web process."""
        desk = self._desk
        if not wedding:
            if path in WORKERS_NEEDED and not desk.ready(now_s):
                self._refuse(visitor, "503 Service Unavailable", b'{"ready": false, "checks": {"workers": false}}')
                return
        elif (wait_s := self._too_many(visitor.address, now_s)) > 0:
            self._refuse(visitor, "503 Service Unavailable", retry_s=wait_s)
            return
        visitor.wedding = wedding
        if desk.full:
            self._refuse(visitor, "503 Service Unavailable", retry_s=1.0)
        else:
            self._wanted.add(desk.seat(visitor, now_s))

    def _too_many(self, address: str, now_s: float) -> float:
        """Seconds this address has to wait. Loose, because a venue is one address: 165 phones come back at once."""
        if self._limit is None or address.startswith(LOOPBACK):
            return 0.0
        bucket = self._addresses.pop(address, None) or TokenBucket(self._limit, now_s)
        self._addresses[address] = bucket  # the newest last
        if len(self._addresses) > ADDRESSES_MAX:
            del self._addresses[next(iter(self._addresses))]
        return bucket.take(now_s)

    def _pass(self, slot: str, now_s: float) -> None:
        """Send `slot` as many of those that wait for it as it may have at once."""
        until_s = now_s + passing.PASS_S
        while visitors := self._desk.next_for(slot):
            first = self._id
            for visitor in visitors:
                visitor.id, visitor.until_s = self._id, until_s
                self._id += 1
            if not passing.send_pass(self._ends[slot], first, until_s, [visitor.sock.fileno() for visitor in visitors]):
                self._desk.not_passed(slot, visitors)
                return
            self._desk.passed(slot, visitors)

    def _refuse(self, visitor: Visitor, status: str, body: bytes = b"", retry_s: float = 0.0) -> None:
        """Answer without a worker. What the visitor has sent is read first: closing over it would reset our answer."""
        retry = f"Retry-After: {max(1, round(retry_s))}\r\n" if retry_s else ""
        head = f"HTTP/1.1 {status}\r\n{retry}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        with contextlib.suppress(OSError):
            visitor.sock.recv(65_536, socket.MSG_DONTWAIT)
            visitor.sock.send(f"{head}Connection: close\r\n\r\n".encode() + body, socket.MSG_DONTWAIT)
        self._desk.refused_total += 1
        self._forget(visitor)

    def _forget(self, visitor: Visitor) -> None:
        self._stop_reading(visitor)
        visitor.sock.close()

    # -- the others ---------------------------------------------------------------------------------------------------

    def _hear_supervisor(self) -> None:
        while (heard := passing.receive(self._control, passing.CONTROL_MAX_BYTES)) != "nothing":
            if heard == "closed":
                raise SystemExit("the supervisor is gone")
            message, fds = heard
            if isinstance(message, Known):
                self._know(message, fds)
            elif isinstance(message, Homes):
                self._desk.settle(message.homes)

    def _know(self, known: Known, fds: list[int]) -> None:
        for name, fd in zip(known.new, fds, strict=True):
            end = self._ends[name] = passing.inherited(fd)
            self._watch(end, lambda name=name: self._hear(name))  # type: ignore[misc]
        for name in self._ends.keys() - {*known.workers, *known.pages}:
            self._unwatch(self._ends[name])
            self._ends.pop(name).close()
        for visitor in self._desk.know(known):
            self._place_again(visitor)

    def _hear(self, name: str) -> None:
        now_s = self._clock.monotonic()
        while (heard := passing.receive(self._ends[name])) != "nothing":
            if heard == "closed":
                self._unwatch(self._ends[name])
                self._ends.pop(name).close()
                for visitor in self._desk.gone(name):
                    self._place_again(visitor)
                return
            match heard[0]:
                case Taken() as taken:
                    for visitor in self._desk.taken(name, taken):
                        visitor.sock.close()
                case Status() as status:
                    self._desk.heard(name, status, now_s)
        self._wanted.add(name)

    def _tick(self, now_s: float) -> None:
        self._came, self._storm = 0, self._came >= STORM
        if self._full and self._stop_s is None:
            self._full = False
            self._watch(self._listener, self._accept)
        for visitor in list(itertools.takewhile(lambda v: v.since_s + LINE_S < now_s, self._reading.values())):
            self._refuse(visitor, "408 Request Timeout")
        for visitor in self._desk.overdue(now_s):
            self._place_again(visitor)
        for visitor in self._desk.out_of_patience(now_s):
            self._refuse(visitor, "503 Service Unavailable", retry_s=1.0)

    def _place_again(self, visitor: Visitor) -> None:
        self._wanted.add(self._desk.seat(visitor, self._clock.monotonic()))

    def _seen(self, now_s: float) -> Seen:
        return self._desk.seen(now_s, self._clock.cpu_s())

    def _watch(self, end: socket.socket, handler: Callable[[], None]) -> None:
        self._handlers[end.fileno()] = handler
        self._epoll.register(end.fileno(), select.EPOLLIN)

    def _unwatch(self, end: socket.socket) -> None:
        if self._handlers.pop(end.fileno(), None) is not None:
            self._epoll.unregister(end.fileno())


def main() -> None:
    """Run on the descriptors that the supervisor gave."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--per-s", type=float, required=True, help="WebSockets of one address, 0: no limit")
    parser.add_argument("--burst", type=float, required=True)
    asked = parser.parse_args()
    limit = Rate(asked.per_s, asked.burst) if asked.per_s else None
    dispatcher = Dispatcher(socket.socket(fileno=asked.listener), passing.inherited(asked.control), limit)
    signal.signal(signal.SIGTERM, lambda *_: dispatcher.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of us; the supervisor decides who ends when
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    dispatcher.run()


if __name__ == "__main__":
    main()
