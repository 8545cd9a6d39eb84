"""One commit of the journal: the rooms locked, the ids looked up, offsets allotted, everything stored.

The statements are written out and, on PostgreSQL, pipelined: each wait for the database gives the interpreter away, and beside
a busy loop it takes up to a switch interval to get it back. Three waits a commit instead of six.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from django.db import DatabaseError, connection, transaction
from msgspec import Struct

from realtime.errors import RealtimeError, Refused, UnknownRoom
from realtime.kinds import coalesce_key
from realtime.models import JournalEntry
from realtime.ports import Domain, Effect
from realtime.publication import Draft, Entry, Outcome, Stored
from realtime.roles import ROLES, Role

logger = logging.getLogger(__name__)


class _Row(Struct):
    """A row of the table of entries, its columns in this order. `room`: the id of its room."""

    room: int
    offset: int
    kind: str
    audience: int
    key: str
    publication_id: str
    member: str
    role: str
    name: str
    client_id: str | None
    data: str
    result: str
    at: Any
    expires_at: Any
    replaces: str
    replaced: bool = False


_COLUMNS = ["room_id", *_Row.__struct_fields__[1:]]
_INSERT = "INSERT INTO realtime_journalentry ({}) VALUES ".format(", ".join(f'"{column}"' for column in _COLUMNS))
_VALUES = "({})".format(", ".join(["%s"] * len(_COLUMNS)))
_LOCK = "SELECT id, name, last_offset, heads FROM realtime_room WHERE name IN ({}) ORDER BY id"
_KNOWN = """SELECT r.name, e.member, e.client_id, e."offset"
FROM realtime_journalentry e JOIN realtime_room r ON r.id = e.room_id
WHERE r.name IN ({}) AND e.member IN ({}) AND e.client_id IN ({})"""
_ADVANCE = "UPDATE realtime_room SET last_offset = %s, heads = %s WHERE id = %s"


@contextmanager
def few_round_trips() -> Iterator[None]:
    """Inside a transaction: send statements without waiting for each answer, where the database can."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


class _Locked:
    """A room of this transaction."""

    __slots__ = ("heads", "last_offset", "name", "pk")

    def __init__(self, pk: int, name: str, last_offset: int, heads: str) -> None:
        self.pk = pk
        self.name = name
        self.last_offset = last_offset
        self.heads: dict[str, int] = json.loads(heads)


class Batch:
    """The rooms of one transaction, locked, and what is about to be stored in them."""

    def __init__(self, domain: Domain, now: datetime, names: set[str], drafts: Sequence[Draft] = ()) -> None:
        self._domain = domain
        self._now = now
        self._rows: list[_Row] = []
        self._known: dict[tuple[str, str, str], int] = {}
        # NO KEY: a transaction that only refers to the room (an outbox row) need not wait for us, nor we for it.
        locking = " FOR NO KEY UPDATE" if connection.features.has_select_for_no_key_update else ""
        with connection.cursor() as cursor, connection.cursor() as looked_up:
            ask(cursor, _LOCK + locking, sorted(names))
            if drafts:
                self._ask_known(looked_up, names, drafts)
            self.rooms = {name: _Locked(pk, name, offset, heads) for pk, name, offset, heads in cursor.fetchall()}
            if drafts:
                self._note_known(looked_up)

    def look_up(self, drafts: Sequence[Draft]) -> None:
        """Find out which of `drafts` are stored already."""
        if drafts:
            with connection.cursor() as cursor:
                self._ask_known(cursor, set(self.rooms), drafts)
                self._note_known(cursor)

    def _ask_known(self, cursor: Any, names: set[str], drafts: Sequence[Draft]) -> None:
        members, ids = {draft.sender.member for draft in drafts}, {draft.id for draft in drafts}
        ask(cursor, _KNOWN, sorted(names), sorted(map(storable, members)), sorted(map(storable, ids)))

    def _note_known(self, cursor: Any) -> None:
        for name, member, client_id, offset in cursor.fetchall():
            self._known[name, member, client_id] = offset

    def admit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Give `drafts` their offsets and store them, one outcome each. Look them up first."""
        outcomes = [self._admit_one(draft) for draft in drafts]
        if self._rows:
            touched = {row.room for row in self._rows}
            rooms = [(room.last_offset, json.dumps(room.heads), room.pk) for room in self.rooms.values() if room.pk in touched]
            with connection.cursor() as cursor:
                # All in one statement: SQLite gives the interpreter away once for each.
                cursor.execute(
                    _INSERT + ", ".join([_VALUES] * len(self._rows)),
                    [value for row in self._rows for value in msgspec.structs.astuple(row)],
                )
                cursor.executemany(_ADVANCE, rooms)
        return outcomes

    def _admit_one(self, draft: Draft) -> Outcome:
        room = self.rooms.get(draft.room)
        if room is None:
            return UnknownRoom(field="room")
        identity = (draft.room, draft.sender.member, draft.id)
        if identity in self._known:
            return Stored(self._known[identity], duplicate=True)
        try:
            effects = self._effects(draft)
        except RealtimeError as error:
            return error
        except DatabaseError:
            raise  # the transaction is broken: the whole batch is tried again, one by one
        except Exception:
            logger.exception("the command %s failed", draft.kind.name)
            return RealtimeError("The server could not carry out this change; it was not stored.")
        if self._too_late(room, draft):
            return Refused("This was settled meanwhile; report it anew if it has come back.", field="data.state")
        if draft.replaces and not self._replace(room, draft):
            draft = msgspec.structs.replace(draft, replaces="")
        entries = tuple(self._append(room, draft, effect, own=n == 0) for n, effect in enumerate(effects))
        self._known[identity] = entries[0].offset
        return Stored(entries[0].offset, entries)

    def _effects(self, draft: Draft) -> list[Effect]:
        if not draft.kind.acts:
            return [Effect(int(draft.kind.audience))]
        with transaction.atomic():
            return self._domain.act(draft.room, draft.kind, draft.payload, draft.sender)

    def _too_late(self, room: _Locked, draft: Draft) -> bool:
        """Whether what it is about is over, and this neither says so nor begins it anew: said by who was away meanwhile."""
        kind = draft.kind
        if not kind.settled or getattr(draft.payload, "state", "") in (kind.settled, kind.anew):
            return False
        about = {"kind": kind.name, "key": storable(coalesce_key(kind, draft.payload, draft.sender.member))}
        here = (
            row.data
            for row in reversed(self._rows)
            if (row.room, row.kind, row.key) == (room.pk, *about.values())
            and not row.replaced and row.publication_id != draft.replaces
        )  # fmt: skip
        stored = JournalEntry.objects.filter(room_id=room.pk, replaced=False, **about).exclude(publication_id=draft.replaces)
        newest = next(here, None) or stored.order_by("-offset").values_list("data", flat=True).first()
        return newest is not None and json.loads(newest).get("state") == kind.settled

    def _append(self, room: _Locked, draft: Draft, effect: Effect, *, own: bool) -> Entry:
        room.last_offset += 1
        room.heads[str(effect.audience)] = room.last_offset
        entry = Entry(
            room=room.name,
            offset=room.last_offset,
            kind=draft.kind.name if own else effect.kind,
            audience=effect.audience,
            id=draft.id if own else f"{draft.id}~{effect.audience}",
            sender=draft.sender,
            at=self._now,
            data=draft.data if own else effect.data,
            result=effect.result,
            expires_at=draft.expires_at if own else None,
            replaces=draft.replaces if own else "",
            received_s=draft.received_s,
        )
        key = storable(coalesce_key(draft.kind, draft.payload, draft.sender.member)) if own else ""
        self._rows.append(_row(room.pk, entry, key, draft.id if own else None))
        return entry

    def _replace(self, room: _Locked, draft: Draft) -> bool:
        """Whether there was something to replace: one's own publication, or anybody's for a planner, of the same kind."""
        which = {"kind": draft.kind.name, "publication_id": draft.replaces}
        if not ROLES.get(draft.sender.role, Role.STAFF) & (Role.PLANNER | Role.STAFF):
            which["member"] = draft.sender.member
        stored = JournalEntry.objects.filter(room_id=room.pk, **which)
        # Asked first: how many rows an update has changed is not known yet where statements are pipelined.
        if found := stored.exists():
            stored.update(replaced=True)
        for row in self._rows:
            if row.room == room.pk and all(getattr(row, name) == value for name, value in which.items()):
                row.replaced = found = True
        return found


def storable(text: str) -> str:
    """PostgreSQL stores neither NUL nor lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:120]


def _row(room_id: int, entry: Entry, key: str, client_id: str | None) -> _Row:
    moment = connection.ops.adapt_datetimefield_value
    return _Row(
        room_id,
        entry.offset,
        entry.kind,
        entry.audience,
        key,
        entry.id,
        entry.sender.member,
        entry.sender.role,
        entry.sender.name,
        client_id,
        entry.data.decode(),
        entry.result.decode(),
        moment(entry.at),
        moment(entry.expires_at),
        entry.replaces,
    )


def ask(cursor: Any, statement: str, *lists: Sequence[str]) -> None:
    """Execute a statement with an `IN ({})` for each of `lists`."""
    filled = statement.format(*(", ".join(["%s"] * len(values)) for values in lists))
    cursor.execute(filled, [value for values in lists for value in values])
