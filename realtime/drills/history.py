"""What happened in a drill: who said what and when, what was acknowledged, and what each client showed.

The verdict comes from here and from nothing else (Jepsen: ops.md 5.1). Compact, since a drill sees a million deliveries:
25 bytes a sight, in arrays; a publication is stored once and referred to by its number.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from realtime.client_events import CaughtUp, Closed, Confirmed, Event, Gap, Received, Settled, SnapshotTaken, Via
from realtime.clock import Clock
from realtime.drills.course import Course
from realtime.histogram import Histogram
from realtime.kinds import KINDS, Priority
from realtime.messages import Ok, Pub
from realtime.saying import LOST

CONFIRMED = 3
"""As `Via` of a sight: not shown (it was before), but it has its place in the stream now."""

_items = msgspec.json.Decoder(dict[str, Any]).decode


class Message(Struct):
    """One publication. `offset`: where it was acknowledged, 0 when not. `sent`: by a client of this drill.

    `vanishes`: it has an expiry or is replaced later, and so may be left out of a replay. `audience` where it differs from the
    kind's. `intended_s` is when the schedule wanted it sent: late sending counts as latency.
    """

    room: str
    member: str
    id: str
    kind: str
    intended_s: float = 0.0
    sent: bool = False
    offset: int = 0
    answered: bool = False
    refused: str = ""
    vanishes: bool = False
    audience: int | None = None


class Mark(Struct, frozen=True):
    """Before sight number `index` the client's position was set to `offset`: by a snapshot, or at the end of a catch-up."""

    index: int
    offset: int
    snapshot: bool


class Seen:
    """What one member's application was shown, in order. `refs` are numbers of messages, `vias` of `Via` or CONFIRMED."""

    def __init__(self, room: str, member: str, role: str) -> None:
        self.room = room
        self.member = member
        self.role = role
        self.offsets = array("q")
        self.prevs = array("q")
        self.refs = array("l")
        self.vias = array("b")
        self.marks: list[Mark] = []
        self.spans: list[tuple[float, float]] = []
        self.shapes: dict[tuple[str, frozenset[str]], str] = {}
        self.position = 0
        # Since when this member is complete; inf: it is not connected.
        self.since_s = math.inf
        self.left = False
        self.gaps = 0

    def sight(self, ref: int, offset: int, prev: int, via: int) -> None:
        self.refs.append(ref)
        self.offsets.append(offset)
        self.prevs.append(prev)
        self.vias.append(via)
        self.position = max(self.position, offset)

    def mark(self, offset: int, *, snapshot: bool) -> None:
        self.marks.append(Mark(len(self.refs), offset, snapshot))
        self.position = offset

    def exposed(self, items: list[dict[str, Any]]) -> None:
        """Take note of the fields of run sheet items; the checker judges whether this role may see them."""
        for item in items:
            shape = (str(item.get("visibility", "")), frozenset(item))
            self.shapes.setdefault(shape, f"item {item.get('id')}")


class History:
    """All messages of a drill and all members that watched."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.members: list[Seen] = []
        self.course = Course()
        self.latencies: dict[Priority, Histogram] = {priority: Histogram() for priority in Priority}
        self._refs: dict[tuple[str, str, str], int] = {}
        self._seen: dict[tuple[str, str], Seen] = {}

    def watch(self, room: str, member: str, role: str) -> Seen:
        """A member whose sights are recorded."""
        seen = Seen(room, member, role)
        self.members.append(seen)
        self._seen[room, member] = seen
        return seen

    def together(self, message: Message, seen: Seen) -> bool:
        """Whether the author of `message` and this member have both been connected since it was meant to be sent."""
        author = self._seen.get((message.room, message.member))
        return author is not None and max(author.since_s, seen.since_s) <= message.intended_s

    def ref(self, room: str, member: str, id: str, kind: str) -> int:
        """The number of a publication, which may not be known yet: somebody can see it before its author is answered."""
        identity = (room, member, id or kind)
        ref = self._refs.get(identity)
        if ref is None:
            ref = self._refs[identity] = len(self.messages)
            self.messages.append(Message(room, member, id, kind))
        return ref

    def sent(self, room: str, member: str, id: str, kind: str, intended_s: float, *, vanishes: bool = False) -> None:
        message = self.messages[self.ref(room, member, id, kind)]
        message.sent, message.intended_s, message.vanishes = True, intended_s, vanishes

    def answered(self, room: str, member: str, id: str, *, offset: int = 0, refused: str = "") -> None:
        """The final answer of the server."""
        ref = self._refs.get((room, member, id))
        if ref is not None:
            message = self.messages[ref]
            message.answered, message.offset, message.refused = True, offset, refused


class Recorder:
    """Writes down what one client tells its application: pass it as `on_event`."""

    def __init__(self, history: History, seen: Seen, clock: Clock, *, timed: bool = True) -> None:
        self._history = history
        self._seen = seen
        self._clock = clock
        # Whether latency counts: not for one who does not read on purpose.
        self.timed = timed

    def __call__(self, event: Event) -> None:
        seen = self._seen
        match event:
            case Received(pub, via):
                self._received(pub, via)
            case Confirmed(pub):
                seen.sight(self._ref(pub), pub.offset, pub.prev, CONFIRMED)
            case Settled(ref, reply):
                if isinstance(reply, Ok):
                    self._history.answered(seen.room, seen.member, ref, offset=reply.offset)
                elif reply.code != LOST:  # the client's own word: what was on its way may be stored
                    self._history.answered(seen.room, seen.member, ref, refused=reply.code)
            case SnapshotTaken(snapshot):
                seen.mark(snapshot.offset, snapshot=True)
                seen.exposed(snapshot.items)
            case CaughtUp(up_to):
                seen.mark(up_to, snapshot=False)
                seen.since_s = self._clock.monotonic()
            case Gap():
                seen.gaps += 1
            case Closed():
                self.offline()

    def offline(self) -> None:
        """The connection ended, or the drill did."""
        if self._seen.since_s < math.inf:
            self._seen.spans.append((self._seen.since_s, self._clock.monotonic()))
            self._seen.since_s = math.inf

    def _ref(self, pub: Pub) -> int:
        return self._history.ref(self._seen.room, pub.sender.member, pub.id, pub.kind)

    def _received(self, pub: Pub, via: Via) -> None:
        ref = self._ref(pub)
        self._seen.sight(ref, pub.offset, pub.prev, via)
        kind = KINDS.get(pub.kind)
        if kind is None:
            return
        message = self._history.messages[ref]
        if self.timed and message.sent and via is not Via.REPLAY:
            took_s = self._clock.monotonic() - message.intended_s
            self._history.latencies[kind.priority].record(took_s)
            together = self._history.together(message, self._seen)
            self._history.course.record(kind.priority, took_s, message.intended_s, together=together)
        if pub.result is not UNSET:
            self._exposed(pub.result)
        if kind.name == "timeline.items":
            self._exposed(pub.data)

    def _exposed(self, raw: Raw) -> None:
        self._seen.exposed(_items(raw).get("items", []))
