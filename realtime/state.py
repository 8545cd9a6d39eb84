"""What a member knows of its room: the snapshot and every publication since, reduced to one state. PURE.

Taking the same publication twice, or two in the wrong order, ends in the same state: each part knows the offset that made it.
`as_json` is the form in which two states are compared: whoever followed the stream must have what a newcomer's snapshot has.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw

from realtime.client_events import CaughtUp, Confirmed, Event, Received, SnapshotTaken
from realtime.kinds import KINDS, SERVER, Kind, coalesce_key, decode_data
from realtime.messages import Pub, Snapshot, decode_to_client
from realtime.roles import ROLES, Role

RECENT_MAX = 50
"""Publications kept of each kind without a key: more chat than a phone shows."""
RECENT_OFFSETS = 500
"""And none further behind than the snapshot reaches (`realtime.journal.RECENT_OFFSETS`), so that the two can be compared."""
REPLACED_MAX = 1_000
"""Replacements remembered, in case what they replace comes later."""

_items = msgspec.json.Decoder(dict[str, Any]).decode


class RoomState:
    """The run sheet, the newest publication about each thing, and the latest of what stands for itself."""

    def __init__(self) -> None:
        self.position = 0
        self.items: dict[int, dict[str, Any]] = {}
        self._newest: dict[tuple[str, str], Pub] = {}
        self.recent: dict[str, dict[int, Pub]] = {}
        self.provisional: dict[tuple[str, str], Pub] = {}
        self._item_offsets: dict[int, int] = {}
        self._replaced: dict[tuple[str, str], Pub] = {}

    @property
    def latest(self) -> dict[tuple[str, str], Pub]:
        """{(kind, key): the newest publication about it}, without those that were replaced."""
        return {key: pub for key, pub in self._newest.items() if not self._is_replaced(pub)}

    # -- reducing -----------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """What a client told its application."""
        match event:
            case SnapshotTaken(snapshot):
                self.restore(snapshot)
            case Received(pub) | Confirmed(pub):
                self.take(pub)
            case CaughtUp(up_to):
                self.reach(up_to)

    def restore(self, snapshot: Snapshot) -> None:
        """Forget everything; this is the state."""
        provisional = self.provisional
        self.__init__()  # type: ignore[misc]
        self.position = snapshot.offset
        self.items = {cast(int, item["id"]): item for item in snapshot.items}
        # The items may be newer than the offset (it is read first), never older.
        self._item_offsets = dict.fromkeys(self.items, snapshot.offset)
        for raw in [*snapshot.latest, *snapshot.recent]:
            pub = decode_to_client(raw)
            if isinstance(pub, Pub):
                self._keep(pub)
        known = {(pub.sender.member, pub.id) for pub in self._newest.values()}
        self.provisional = {who: pub for who, pub in provisional.items() if who not in known}

    def take(self, pub: Pub) -> None:
        """One publication, in whatever order it comes."""
        identity = (pub.sender.member, pub.id)
        if pub.provisional and not pub.offset:
            self.provisional[identity] = pub
            return
        if not pub.offset:
            return
        self.provisional.pop(identity, None)
        self.reach(pub.offset)
        if pub.result is not UNSET:
            self._take_items(pub.result, pub.offset)
        if pub.kind == "timeline.items":
            self._take_items(pub.data, pub.offset)
        if pub.replaces:
            self._replace(pub)
        self._keep(pub)

    def reach(self, offset: int) -> None:
        """Everything up to `offset` was taken."""
        if offset > self.position:
            self.position = offset

    def _take_items(self, raw: Raw, offset: int) -> None:
        change = _items(raw)
        for item in change.get("items", ()):
            id = item["id"]
            known = self.items.get(id)
            if known is None and self._item_offsets.get(id, 0) > offset:
                continue  # it was removed after this
            # The version decides, not the offset: a snapshot's item may be newer than its offset. Of one version the first form
            # stays; it is the fullest that this member may see, what everybody gets of it follows later.
            if known is None or item.get("version", 0) > known.get("version", 0):
                self.items[id] = item
            self._item_offsets[id] = max(offset, self._item_offsets.get(id, 0))
        for id in change.get("removed", ()):
            if offset >= self._item_offsets.get(id, 0):
                self.items.pop(id, None)
                self._item_offsets[id] = offset

    def _keep(self, pub: Pub) -> None:
        kind = KINDS.get(pub.kind)
        if kind is None or not kind.durable or kind.acts or kind.publishers == SERVER:
            return
        if kind.coalesce_key is None:
            if not self._is_replaced(pub):
                self._keep_recent(kind, pub)
            return
        key = (kind.name, coalesce_key(kind, decode_data(kind, pub.data), pub.sender.member))
        known = self._newest.get(key)
        if known is None or pub.offset > known.offset:
            self._newest[key] = pub

    def _keep_recent(self, kind: Kind, pub: Pub) -> None:
        recent = self.recent.setdefault(kind.name, {})
        recent[pub.offset] = pub
        if len(recent) > RECENT_MAX:
            del recent[min(recent)]

    def _replace(self, pub: Pub) -> None:
        self._replaced[pub.kind, pub.replaces] = pub
        if len(self._replaced) > REPLACED_MAX:
            del self._replaced[next(iter(self._replaced))]
        recent = self.recent.get(pub.kind, {})
        for offset in [offset for offset, known in recent.items() if self._is_replaced(known)]:
            del recent[offset]
        # What was newest stays known as such, or an older one that comes late would take its place: see `latest`.

    def _is_replaced(self, pub: Pub) -> bool:
        """By its author, or by a planner (`realtime.journal` stores no other `replaces`)."""
        by = self._replaced.get((pub.kind, pub.id))
        if by is None or by.offset <= pub.offset:
            return False
        planner = ROLES.get(by.sender.role, Role.STAFF) & (Role.PLANNER | Role.STAFF)
        return bool(planner) or by.sender.member == pub.sender.member

    # -- comparing ----------------------------------------------------------------------------------------------------

    def as_json(self, now: datetime) -> dict[str, Any]:
        """The state at `now` in a form that is equal for two members of one view that know the same.

        What has expired is left out, and so is what only one of two may still have: provisional publications.
        """
        horizon = self.position - RECENT_OFFSETS
        recent = [p for kind in self.recent.values() for p in kind.values() if p.offset > horizon]
        latest = {f"{kind} {key}": _plain(p) for (kind, key), p in sorted(self.latest.items())}
        return {
            "items": {str(id): self.items[id] for id in sorted(self.items)},
            "latest": {name: p for name, p in latest.items() if _fresh(p, now)},
            "recent": [p for p in map(_plain, sorted(recent, key=lambda p: p.offset)) if _fresh(p, now)],
        }


def _plain(pub: Pub) -> dict[str, Any]:
    plain = {
        "kind": pub.kind,
        "id": pub.id,
        "from": pub.sender.member,
        "offset": pub.offset,
        "data": msgspec.json.decode(pub.data),
    }
    return plain | ({"expires_at": pub.expires_at} if pub.expires_at else {})


def _fresh(plain: dict[str, Any], now: datetime) -> bool:
    expires_at: datetime | None = plain.get("expires_at")
    return expires_at is None or expires_at > now
