"""`realtime.connection.Wire` over one Twisted connection: finished frames to the kernel at once, past Twisted's buffer."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor, tcp

from realtime.adapters.reactor import read_directly
from realtime.adapters.rounds import monotonic
from realtime.connection import Connection, Take
from realtime.link import Link

# struct tcp_info of linux/tcp.h: tcpi_unacked, tcpi_last_data_sent, tcpi_rtt, tcpi_rttvar, tcpi_total_retrans,
# tcpi_notsent_bytes, tcpi_min_rtt, tcpi_data_segs_out.
_TCP_INFO, TCP_INFO_BYTES = struct.Struct("=24xI16xI20xII24xI40xII4xI"), 160
_COUNT = struct.Struct("@i")
EARLY_BYTES, MESSAGE_BYTES = 65_536, 300
"""What waits for a member that is not in yet, at most; each message takes so much beside its text."""
QUIET_SHARE = 0.8
"""Of a heartbeat: the client says something after half of it."""
VOUCHED_S = 120.0
FRESH_MS, AGAIN_MAX_S = 5_000, 21.0
"""Who had and acknowledged something so lately is there, and is vouched for when it is asked about again so soon: it is pinged
when nothing has shown since then for as long as without that."""
ROUNDING_US = 16
"""The kernel keeps both in fractions of a microsecond."""


class SocketWire:
    """`realtime.connection.Wire` over one Twisted connection.

    Writes past Twisted only while its buffers are empty. What the kernel does not take is Twisted's at once, or a pong could
    land inside a frame; when that has left, `drained` is called.
    """

    __slots__ = (
        "_early_bytes", "_ignore", "_member", "_pong", "_protocol", "_resting", "_send", "_transport", "take",
        "vouched_until_s",
    )  # fmt: skip

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        # TLS, or anything else that is not a plain socket, has to encrypt first.
        self._send = protocol.transport.socket.send if type(protocol.transport) is tcp.Server else None
        self._member: Connection | None = None
        self._ignore = self._resting = False
        self._early_bytes = 0
        self._pong: bytes | None = None
        self.take: Take | None = None
        self.vouched_until_s = 0.0
        """Until then (monotonic) Daphne need not ask whether the other end is there: whoever asks for the link does."""

    def open(self, member: Connection, take: Take) -> None:
        """From now on: tell `member` how the socket is, and call `take` for each message instead of the ASGI queue."""
        self._member = member
        self.take = take
        if self._resting:
            self._read_again()

    def early(self, n_bytes: int) -> None:
        """A message came before anybody takes it, and waits. Beyond a limit the next ones do so with the kernels."""
        self._early_bytes += n_bytes + MESSAGE_BYTES
        if self._early_bytes > EARLY_BYTES:
            self._stop_reading()

    @property
    def push(self) -> Callable[[bytes], int] | None:
        """The socket's own send while nothing can be in its way. All it sends comes through here (`sendData`), so
        that whatever gets in its way is noticed."""
        free = self._protocol.state == self._protocol.STATE_OPEN and not self._transport.disconnecting and not self._buffered()
        return self._send if free else None

    def _buffered(self) -> bool:
        return bool(self._transport.dataBuffer or self._transport._tempDataBuffer)

    def unplug(self) -> None:
        """The connection is closing."""
        if self._resting:
            self._read_again()  # the answer to the close is among what comes
        if self._member is not None:
            self._member.unplug()

    def send(self, frames: bytes, sent: int = 0) -> bool:
        """Hand over whole frames, of which `push` has sent so many bytes. False: part of it waits, send nothing more until
        the member hears that it has left."""
        protocol, transport = self._protocol, self._transport
        if sent:
            transport.write(frames[sent:])
            self._wait()
            return False
        if protocol.state != protocol.STATE_OPEN or transport.disconnecting:
            return True  # nobody will read it; the end of the connection is on its way
        if self._send is None or self._buffered():
            transport.write(frames)
            return self._wait_if_full()
        try:
            sent = self._send(frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            return True  # Twisted finds out when it reads
        if sent == len(frames):
            return True
        transport.write(frames[sent:])
        self._wait()
        return False

    def defers(self, payload: bytes) -> bool:
        """Whether the answer to a ping has to wait, since something else does. Only the latest is answered then (RFC 6455
        section 5.5.3): who asks again and again and does not read must not fill our memory."""
        if not self._buffered():
            return False
        if self._pong is None:
            self._wait()
        self._pong = payload
        return True

    def answer(self, response: bytes) -> None:
        """Send the end of the handshake, together with what follows: the kernel waits for that, but not longer than 0.2 s
        (MSG_MORE, send(2)). One packet less, and one time less that the client has to look."""
        sent = 0
        if self._send is not None and not self._buffered():
            try:
                sent = self._send(response, socket.MSG_MORE)
            except OSError:  # full, or gone: Twisted finds out
                sent = 0
        if sent < len(response):
            self._transport.write(response[sent:])

    @property
    def deflate(self) -> bool:
        """Whether the client takes compressed frames."""
        return self._protocol.extensions is not None

    def rest(self, seconds: float) -> None:
        """Read nothing for so long: what comes meanwhile stays with the kernels, and its sender is slowed down."""
        if self._stop_reading():
            reactor.callLater(seconds, self._read_again)

    def _stop_reading(self) -> bool:
        if self._resting or not self._transport.connected or self._transport.disconnecting:
            return False
        self._resting = True
        self._transport.stopReading()
        return True

    def _read_again(self) -> None:
        resting, self._resting = self._resting, False
        if resting and self._transport.connected and not self._transport.disconnecting:
            self._transport.startReading()
            read_directly(self._transport, self._protocol.arrivals)

    def link(self, again_s: float | None = None) -> Link | None:
        """What the kernel knows of the way to the other end (tcp(7), TCP_INFO); None where it does not say. `again_s`: it is
        asked again then, and so sees to it that somebody who is not there any more is noticed."""
        info = self._info()
        if info is None:
            return None
        unacked, sent_ago_ms, rtt_us, jitter_us, lost, unsent, shortest_us, sent = info
        if again_s is not None:
            self._vouch(again_s <= AGAIN_MAX_S and sent_ago_ms <= FRESH_MS and not unacked and not unsent)
        if 2 * jitter_us + ROUNDING_US >= rtt_us:
            return None  # a single sample (RFC 6298, 2.2), of the handshake: it says how late we accepted, not how far it is
        # The shortest: the smoothed one remembers for long how late the handshake of a storm was.
        waiting = self._unacked_bytes() if unacked or unsent else 0  # nothing of it as a rule: one call less
        return Link(shortest_us / 1e6, jitter_us / 1e6, waiting, lost, sent)

    def _vouch(self, there: bool) -> None:
        now_s = monotonic()
        if there:
            self.vouched_until_s = now_s + VOUCHED_S
        elif self.vouched_until_s > now_s:
            there_s, self.vouched_until_s = now_s + VOUCHED_S - self.vouched_until_s, 0.0
            self._protocol.look(there_s)

    def quiet_s(self, usual_s: float) -> float:
        """How long the other end may be silent before it is asked whether it is there: `usual_s`, or as long as it was told
        that it may be. Whether the network is there, TCP's keep-alive asks meanwhile."""
        return max(usual_s, QUIET_SHARE * self._member.plan.heartbeat_s) if self._member is not None else usual_s

    def heard(self, seconds: float) -> bool:
        """Whether the other end has acknowledged all, and something that was sent within so long: it need not be pinged."""
        info = self._info()
        if info is None:
            return False
        unacked, sent_ago_ms, _, _, _, unsent, _, _ = info
        return sent_ago_ms < seconds * 1_000 and not unacked and not unsent

    def unread_bytes(self) -> int:
        """What the other end has not acknowledged: Twisted's buffer and the kernel's queue."""
        transport = self._transport
        if not transport.connected:
            return 0
        waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return waiting + self._unacked_bytes()

    def _unacked_bytes(self) -> int:
        """The kernel's whole queue (SIOCOUTQ, tcp(7))."""
        found: tuple[int] = _COUNT.unpack(fcntl.ioctl(self._transport.socket, termios.TIOCOUTQ, bytes(_COUNT.size)))
        return found[0]

    def _info(self) -> tuple[int, ...] | None:
        if self._send is None or not self._transport.connected:
            return None
        try:
            raw = self._transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            return _TCP_INFO.unpack_from(raw)
        except (OSError, struct.error):
            return None

    def close(self, code: int) -> None:
        """Send the close frame after what is waiting, and nothing after it."""
        if self._protocol.state == self._protocol.STATE_OPEN:
            self._protocol.sendClose(code=code)

    def forget(self) -> None:
        """The connection is over: break the circle protocol - wire - connection, which the frozen collector would keep."""
        self._member, self.take = None, None

    def _wait_if_full(self) -> bool:
        if self._transport._isSendBufferFull():
            self._wait()
            return False
        return True

    def _wait(self) -> None:
        if self._member is not None:
            self._member.blocked()
        # A pull producer is asked for more when the buffer has become empty, and once when it registers.
        self._ignore = True
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)
        self._ignore = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        if not self._ignore:
            self._transport.unregisterProducer()
            pong, self._pong = self._pong, None
            if (pong is None or self.send(b"\x8a%c%b" % (len(pong), pong))) and self._member is not None:
                self._member.drained()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.forget()
