"""What the processes of one machine's fleet say to each other, over SEQPACKET pairs that only they have an end of.

The supervisor makes a pair for each worker before it starts it: one end is the worker's, the other one the dispatcher's. A pair
has no name, so nobody else can open it. A pass carries a socket (SCM_RIGHTS) and a moment until which it may be taken.

A socket is never served twice. The worker takes one only before the deadline, and says so before it looks at the clock a
second time; the dispatcher gives it to another one `GRACE_S` after the deadline, when nothing was said. So a worker that was
stopped in between finds the deadline behind it, and closes its copy unread.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Literal

import msgspec
from msgspec import Struct

from realtime.report import WorkerState

PASS_S = 0.5
"""So long a worker may take to take a socket: far above a busy turn of its loop, far below the patience of a client."""
GRACE_S = 0.1
"""An answer on a local socket is there at once; this is for the dispatcher's own delay in reading it."""
MESSAGE_MAX_BYTES = 16_384
"""A status with the canaries of 64 workers has 4 KB."""
CONTROL_MAX_BYTES = 180_000
"""Between supervisor and dispatcher: the homes of 2,700 weddings have 80 KB; a socket's buffer takes 200."""
PASSES_MAX = 8
FDS_MAX = 253
"""Descriptors of one message (SCM_MAX_FD, unix(7)): a new dispatcher gets the ends of all processes at once."""
"""Sockets in one message, which a worker takes in one turn of its loop, 3 ms: a message costs more than a socket, but others
are to be served meanwhile."""
_PASS, _TAKEN = struct.Struct("=cQd"), struct.Struct("=cQH")


class Pass(Struct, frozen=True):
    """Sockets for a worker, to be taken before `until_s` (the machine's monotonic clock). The first has the number `id`, the
    others those after it.

    `fds`: fewer than were sent when this process may open no more files, so that the kernel dropped the last ones; the
    dispatcher still has its copies."""

    id: int
    until_s: float
    fds: list[int]


class Taken(Struct, frozen=True):
    """The worker has the sockets of `count` numbers from `id` on; the dispatcher lets go of its copies."""

    id: int
    count: int


class Status(Struct, frozen=True, tag="status"):
    """What a worker says of itself four times a second; that it comes is what says that the worker is not hung."""

    worker: str
    pid: int
    state: WorkerState
    reason: str = ""
    connections: int = 0
    weddings: int = 0
    passes_total: int = 0
    """Passes taken since its start: those the dispatcher made since are counted nowhere yet."""
    lag_s: float | None = None
    canaries: dict[str, float | None] = {}
    """{other worker: seconds its last canary took to arrive here; None: none came lately}."""
    arriving: int = 0
    """Sockets that it has taken and that are not among `connections` yet."""


class Leave(Struct, frozen=True, tag="leave"):
    """To a worker: take nobody new, send everybody elsewhere (`stop`: there is nowhere else), then end."""

    reason: str
    deadline_s: float
    stop: bool = False


class Known(Struct, frozen=True, tag="known"):
    """To the dispatcher, with the descriptors of those that are `new`, in this order: the processes there are."""

    workers: list[str]
    web: str
    """The newest, for a dispatcher of a release that knows of no `webs`."""
    new: list[str] = []
    stopping: list[str] = []
    """Those that get no new sockets."""
    webs: list[str] = []
    """All web processes, the oldest first: the newest that has been heard of gets the sockets. Empty: only `web`, as a
    supervisor of such a release says it."""

    @property
    def pages(self) -> list[str]:
        """The web processes."""
        return self.webs or ([self.web] if self.web else [])


class Homes(Struct, frozen=True, tag="homes"):
    """To the dispatcher: {wedding: slot} of the weddings that the balancer has put elsewhere than their hash says."""

    homes: dict[str, str]


class Seen(Struct, frozen=True, tag="seen"):
    """From the dispatcher, four times a second: its view of the workers."""

    workers: dict[str, Standing]
    heard: list[str] = []
    """All processes that have said something, the web process among them."""
    waiting: int = 0
    """Sockets that wait for a worker."""
    passed_total: int = 0
    again_total: int = 0
    """Passed again, because the first worker did not take them in time."""
    refused_total: int = 0
    cpu_s: float = 0.0
    web_silent_s: float = 0.0
    """Since the web process was heard of last."""


class Standing(Struct, frozen=True):
    """How one worker stands, as the dispatcher judges it."""

    state: WorkerState
    reason: str
    status: Status | None = None
    silent_s: float = 0.0
    """Since it was heard of last."""


Message = Status | Leave | Known | Homes | Seen
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, neither of which ever blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def inherited(fd: int) -> socket.socket:
    """The end that this process was started with."""
    end = socket.socket(fileno=fd)
    end.setblocking(False)
    os.set_inheritable(fd, False)
    return end


def send(end: socket.socket, message: Message | Taken, fds: list[int] | None = None) -> bool:
    """Whether the other side could take it now."""
    raw = _TAKEN.pack(b"T", message.id, message.count) if isinstance(message, Taken) else b"M" + _encode(message)
    return _sendmsg(end, raw, fds or [])


def size_of(message: Message) -> int:
    """Bytes on the way."""
    return 1 + len(_encode(message))


def send_pass(end: socket.socket, id: int, until_s: float, fds: list[int]) -> bool:
    """Pass at most `PASSES_MAX` sockets. False: the other side has too much to read, or is gone."""
    return _sendmsg(end, _PASS.pack(b"P", id, until_s), fds)


def _sendmsg(end: socket.socket, raw: bytes, fds: list[int]) -> bool:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"={len(fds)}i", *fds))] if fds else []
    try:
        end.sendmsg([raw], rights)
    except OSError:  # full, or nobody is there: either way it was not said
        return False
    return True


def receive(
    end: socket.socket, max_bytes: int = MESSAGE_MAX_BYTES
) -> tuple[Message | Taken | Pass, list[int]] | Literal["nothing", "closed"]:
    """The next message with its descriptors (those of a pass are in the pass). They are this process's to close."""
    try:
        raw, ancillary, _, _ = end.recvmsg(max_bytes, socket.CMSG_SPACE(FDS_MAX * 4), socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return "nothing"
    except OSError:
        return "closed"
    fds = [fd for _, _, data in ancillary for fd in struct.unpack(f"={len(data) // 4}i", data)]
    if not raw:
        return "closed"
    match raw[:1]:
        case b"P":
            _, id, until_s = _PASS.unpack(raw)
            return Pass(id, until_s, fds), []
        case b"T":
            return Taken(*_TAKEN.unpack(raw)[1:]), fds
    return _decode(raw[1:]), fds
