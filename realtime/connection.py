"""One member's connection: what waits to be sent to it, bounded, and who it is. Knows nothing of Channels or sockets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from realtime.closing import CloseCode
from realtime.config import RealtimeConfig
from realtime.connection_optimizer import ConnectionPlan, ConnectionStats, Told
from realtime.frame import Frame
from realtime.kinds import KINDS, Priority
from realtime.link import Link
from realtime.messages import Goodbye, Plan, Sender, ToClient, encode
from realtime.policy.outbox import Outbox, Verdict
from realtime.roles import ROLES, VIEWS

USUAL = ConnectionPlan(heartbeat_s=25.0, window_bytes=RealtimeConfig().outbox_bytes)
"""Until the first plan is made."""
LEFT_OUT = sorted(kind.name for kind in KINDS.values() if kind.spare)
"""Kinds that one who is served sparingly does without."""
PORTION_BYTES = 65_536
"""Of an outbox, sent at once when the socket takes something again: an emergency that comes meanwhile waits for no more."""
WIRE_EXTENSION = "wedsync.wire"
"""The ASGI scope extension with the connection's `Wire`, where the server offers one."""


PLAIN = "plain"
Cohort = tuple[int, str, bool]
"""(view, encoding, light)."""
Item = tuple[bytes, Frame]
"""A publication as this member's cohort gets it: the text, and what it is the text of."""
Take = Callable[[bytes | None, Callable[[], float | None]], None]
"""Gets each message (None: a binary one) and what tells the monotonic time of its arrival (None: not known)."""


class Watcher(Protocol):
    """Hears how a connection fares."""

    def fell_behind(self, connection: Connection) -> None:
        """Something has to wait for the socket. Told more than once."""

    def late(self, connection: Connection, frames: Sequence[Frame]) -> None:
        """Publications that had to wait for the socket have been handed to the kernel."""


class Wire(Protocol):
    """A shortcut of the server: finished WebSocket frames straight to the socket."""

    deflate: bool
    """Whether the client takes compressed frames."""

    push: Callable[[bytes], int] | None
    """The socket's own send (socket.send, with its errors), while nothing waits and the connection is open; else None."""

    def open(self, member: Connection, take: Take) -> None:
        """From now on tell `member` when something waits, when all that waited has left and when `push` ends. `take` gets each
        message (None: a binary one)."""

    def send(self, frames: bytes, sent: int = 0) -> bool:
        """Hand over whole frames, of which `push` has sent so many bytes. False: part waits; no more until it has left."""

    def close(self, code: int) -> None:
        """Send the close frame, and hang up when nobody answers it."""

    def unread_bytes(self) -> int:
        """What the other end has not acknowledged yet, the kernel's part of it included."""

    def link(self, again_s: float | None = None) -> Link | None:
        """What the kernel knows of the way to the other end; None where it does not say. `again_s`: it is asked again then."""

    def rest(self, seconds: float) -> None:
        """Read nothing for so long."""


def nothing_taken(frames: bytes) -> int:
    """In the place of `push` where there is none: what is to be sent goes the long way."""
    return 0


def text_frame(text: bytes) -> bytes:
    """One unfragmented, unmasked text frame (RFC 6455 section 5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


def joined(texts: Iterable[bytes]) -> bytes:
    """Texts as one buffer of frames, to be sent to each member of a cohort with one call."""
    return b"".join([text_frame(text) for text in texts])


class Connection:
    """Text frames on their way to one member. `write` never waits and never raises; a member too far behind is ended.

    With a `wire` they go to the socket at once, and wait in an outbox only while the socket takes nothing. Without one they
    wait for `texts`, which the consumer awaits.
    """

    __slots__ = (
        "_outbox", "_taken", "_unsent", "_waiter", "_watcher", "_wire", "acked", "behind", "closing", "deflate", "login",
        "lost_total", "member", "plan", "push", "renew_s", "return_s", "role", "room", "sent_total", "told", "view",
    )  # fmt: skip

    def __init__(self, room: str, member: Sender, wire: Wire | None = None, watcher: Watcher | None = None) -> None:
        self.room = room
        self.member = member
        self.login = ""
        self.role = ROLES[member.role]
        self.view = VIEWS[self.role]
        self.plan = USUAL
        self.told = Told()
        # Whether this client negotiated compression.
        self.deflate = wire is not None and wire.deflate
        self.lost_total = self.sent_total = 0
        self.acked = 0
        # The time over which this member comes back when the connection is lost, as it was told.
        self.return_s = 0.0
        # When this member is due a fresh ticket (monotonic).
        self.renew_s = math.inf
        # How often the socket has taken what waited.
        self._taken = 0
        self.closing: CloseCode | None = None
        # Behind: what is written has to wait for what is written already. Always so without a wire.
        self.behind = wire is None
        self.push: Callable[[bytes], int] = nothing_taken
        self._wire = wire
        self._watcher = watcher
        # Handed over, but not yet taken by the kernel, and what waits behind it.
        self._unsent: Sequence[Frame] = ()
        self._outbox: Outbox | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def cohort(self) -> Cohort:
        """Members with the same get the same bytes."""
        return self.view, self.plan.encoding, self.plan.light

    @property
    def waiting(self) -> bool:
        """Whether something for this member is not with the kernel yet."""
        return bool(self._outbox) or (self.behind and self._wire is not None)

    @property
    def progress(self) -> tuple[int, int]:
        """Another one after something of what waits was taken: one that is behind and makes none is stuck."""
        return self._taken, self._wire.unread_bytes() if self._wire is not None else 0

    @property
    def n_bytes(self) -> int:
        """What waits here, bytes."""
        return self._outbox.n_bytes if self._outbox is not None else 0

    def stats(self, again_s: float | None = None) -> ConnectionStats:
        """What a plan for this connection depends on, measured now, and again after `again_s`."""
        link = self._link(again_s)
        lost = sent = 0
        if link is not None:
            lost, sent = link.lost_total - self.lost_total, link.sent_total - self.sent_total
            self.lost_total, self.sent_total = link.lost_total, link.sent_total
        behind = self.behind and self._wire is not None
        return ConnectionStats(self.role, self.told, link, lost, sent, behind, self.deflate, self.plan.light)

    def follow(self, plan: ConnectionPlan) -> None:
        """Be served by `plan` from now on. Its cohort changes with it: the hub moves the connection."""
        self.plan = plan
        left_out = LEFT_OUT if plan.light else []
        self.tell(Plan(plan.heartbeat_s, round(plan.batch_s * 1_000), left_out, plan.encoding, plan.reason))

    @property
    def link(self) -> Link | None:
        """What the kernel knows of the way to this member."""
        return self._link(None)

    def _link(self, again_s: float | None) -> Link | None:
        return self._wire.link(again_s) if self._wire is not None and self.closing is None else None

    def open(self, take: Take) -> None:
        """Begin to hear of the wire; `take` is for its messages."""
        assert self._wire is not None
        self._wire.open(self, take)
        self._plug()

    def blocked(self) -> None:
        """Something waits for the socket."""
        self.behind, self.push = True, nothing_taken
        if self._watcher is not None:
            self._watcher.fell_behind(self)

    def unplug(self) -> None:
        """The connection is closing: nothing goes to the socket past the wire any more."""
        self.push = nothing_taken

    def _plug(self) -> None:
        push = self._wire.push if self._wire is not None and not self.behind and self.closing is None else None
        self.push = push or nothing_taken

    def write(self, items: Sequence[Item], frames: bytes = b"", sent: int = 0) -> bool:
        """Send publications, in order. `frames`: the same as finished frames, where the caller has them for many, and has tried
        `push`, which took `sent` bytes of them.

        True: the kernel has them now. False: later, or never when the connection is over.
        """
        if self.behind:
            return self._wait(items)
        if self.closing is not None or self._wire is None:
            return False
        if not self._wire.send(frames or joined(text for text, _ in items), sent):
            self.blocked()
            self._unsent = [frame for _, frame in items]
        elif self.push is nothing_taken:
            self._plug()
        return not self.behind

    def _wait(self, items: Sequence[Item]) -> bool:
        if self.closing is not None:
            return False
        outbox = self._queue()
        for text, frame in items:
            if self._offer(outbox, text, frame) is Verdict.TOO_SLOW:
                self.end_too_slow()
                break
        self._wake()
        return False

    def _queue(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self.plan.window_bytes)
            if self._watcher is not None:
                self._watcher.fell_behind(self)
        return self._outbox

    def _offer(self, outbox: Outbox, text: bytes, frame: Frame) -> Verdict:
        if frame.priority is Priority.P3:
            return outbox.fleeting(text, frame.key, frame)
        if frame.priority is Priority.P0:
            if not frame.entry.offset:
                return outbox.ahead(text, frame)
            if outbox:
                outbox.ahead(frame.urgent_text)  # where there is no room for the copy there is none for the alert either
        return outbox.stream(text, frame)

    def send(self, texts: Sequence[bytes], *, always: bool = False) -> None:
        """Send what is for this member alone, in order with everything durable. `always`: whatever its size (a snapshot)."""
        if not self.behind:
            self._send_now(joined(texts))
            return
        if self.closing is not None:
            return
        outbox = self._queue()
        for text in texts:
            if always:
                outbox.last(text)
            elif outbox.stream(text) is Verdict.TOO_SLOW:
                self.end_too_slow()
                break
        self._wake()

    def _send_now(self, frames: bytes) -> None:
        try:
            sent = self.push(frames)
        except OSError:
            sent = 0
        if sent != len(frames) and self.closing is None and self._wire is not None and not self._wire.send(frames, sent):
            self.blocked()

    def rest(self, seconds: float) -> None:
        """Hear nothing of this member for so long, where the server can do that."""
        if self._wire is not None and self.closing is None:
            self._wire.rest(seconds)

    def tell(self, message: ToClient) -> None:
        """Send one message that is for this member alone."""
        text = encode(message)
        if self.behind:
            self.send([text])
        else:
            self._send_now(text_frame(text))

    def drained(self) -> None:
        """The socket has taken everything: send what waited, and be as the others again when that is taken too."""
        self._arrived(self._unsent)
        self.behind, self._unsent = False, ()
        self._taken += 1
        while self._outbox and not self.behind and self._wire is not None:
            portion = self._outbox.take(PORTION_BYTES)
            sent = [waiting.tag for waiting in portion if waiting.tag is not None]
            if self._wire.send(joined(waiting.text for waiting in portion)):
                self._arrived(sent)
            else:
                self.blocked()
                self._unsent = sent
        if not self._outbox:
            self._outbox = None
        self._plug()
        if self.closing is not None and not self.behind and self._wire is not None:
            self._wire.close(int(self.closing))

    def end(self, code: CloseCode, reason: str, *, retry_after_ms: int = 0) -> None:
        """Say goodbye and close after what is queued has left. The first end counts."""
        if self.closing is not None:
            return
        goodbye = encode(Goodbye(code, reason, retry_after_ms))
        if self._wire is None or self.behind:
            self._queue().last(goodbye)
        elif not self._wire.send(text_frame(goodbye)):
            self.blocked()
        self.closing = code
        self.unplug()
        if self._wire is not None and (not self.behind or code is CloseCode.TOO_SLOW):
            # One that does not read is not waited for: the close follows what the kernel has.
            self._wire.close(int(code))
        self._wake()

    async def texts(self) -> list[bytes]:
        """Without a wire: wait until something is queued or the connection ends; hand it over and forget it."""
        if not self._outbox and self.closing is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        outbox, self._outbox = self._outbox, None
        self._taken += 1
        portion = outbox.take(outbox.n_bytes + 1) if outbox is not None else []
        # ASGI says nothing about the socket: handed to the server is the best that can be known.
        self._arrived([waiting.tag for waiting in portion if waiting.tag is not None])
        return [waiting.text for waiting in portion]

    def took_one(self) -> None:
        """Without a wire: the server has taken one more of the texts."""
        self._taken += 1

    def end_too_slow(self) -> None:
        """End one that does not read, and forget what waits: the journal has what is durable. One that is to close, but does
        not take what comes before, is waited for no longer."""
        ending, self._outbox = self.closing, None
        self.end(CloseCode.TOO_SLOW, "You did not read what was sent; come back and resume.", retry_after_ms=1_000)
        if ending is not None and self._wire is not None:
            self.behind = False
            self._wire.close(int(ending))

    def _arrived(self, frames: Sequence[Frame]) -> None:
        if frames and self._watcher is not None:
            self._watcher.late(self, frames)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
