"""The journal: every durable publication, in order, once. This module alone reads and writes its tables.

`Journal.commit` is one transaction for many publications of many rooms. It locks the rooms in the order of their ids (so that
writers never deadlock), looks up which publications it already has, and only then allots offsets: what is visible in the
journal is therefore always contiguous. Everything here is synchronous and runs in a thread; `realtime.committer` is the shell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import F, Max, Q, QuerySet

from realtime.clock import Clock
from realtime.errors import Invalid, JournalUnavailable, RealtimeError, UnknownRoom
from realtime.kinds import KINDS, coalesce_key, decode_data
from realtime.messages import Sender
from realtime.models import JournalEntry, OutboxEntry, Room
from realtime.ports import Domain, Effect
from realtime.publication import Draft, Entry, Outcome, Position, State, Stored
from realtime.roles import ROLES, Role, head_of

logger = logging.getLogger(__name__)

RECENT_OFFSETS = 500
"""A snapshot carries the publications without a key that lie so far behind its offset; about six hours of a busy wedding."""
LATEST_MAX = 2_000
"""At most so many keyed publications in a snapshot, newest first: every guest of the largest wedding seen, twice."""


T = TypeVar("T")


class Journal:
    """Writes and reads the tables of the journal. Raises JournalUnavailable when the database cannot answer."""

    def __init__(self, domain: Domain, clock: Clock) -> None:
        self._domain = domain
        self._clock = clock

    # -- writing ------------------------------------------------------------------------------------------------------

    def commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Store `drafts`, one outcome each, in their order. One bad draft does not take the others with it."""
        try:
            with transaction.atomic(durable=True):
                return _Batch(self._domain, self._clock.now(), {draft.room for draft in drafts}).admit(drafts)
        except (OperationalError, InterfaceError) as error:
            raise JournalUnavailable from error
        except Exception:  # rolled back: nothing of it is stored, and the one at fault must not take the others with it
            if len(drafts) == 1:
                logger.exception("the journal refused a publication of kind %s", drafts[0].kind.name)
                return [RealtimeError("The journal refused this publication.")]
            return [outcome for draft in drafts for outcome in self.commit([draft])]

    def sweep(self, limit: int = 256) -> list[Entry]:
        """Publish what committed transactions left in the outbox, in the order of its ids. Returns the new entries."""
        try:
            waiting = list(OutboxEntry.objects.filter(failed="").order_by("id").values_list("pk", "room__name")[:limit])
            try:
                return self._sweep({name for _, name in waiting}, [pk for pk, _ in waiting]) if waiting else []
            except (OperationalError, InterfaceError):
                raise
            except DatabaseError:
                # One row that cannot be stored must not hold up the others for ever: find it and set it aside.
                return [entry for pk, name in waiting for entry in self._sweep_alone(name, pk)]
        except (OperationalError, InterfaceError) as error:
            raise JournalUnavailable from error

    def _sweep_alone(self, name: str, pk: int) -> list[Entry]:
        try:
            return self._sweep({name}, [pk])
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError as error:
            logger.exception("outbox entry %s cannot be published", pk)
            OutboxEntry.objects.filter(pk=pk).update(failed=str(error)[:500])
            return []

    def _sweep(self, names: set[str], pks: list[int]) -> list[Entry]:
        with transaction.atomic(durable=True):
            batch = _Batch(self._domain, self._clock.now(), names)
            # Read only after the rooms are locked: whoever swept them before us has deleted what it published.
            rows = list(OutboxEntry.objects.filter(pk__in=pks, failed="").select_related("room").order_by("id"))
            drafts = [_draft(row) for row in rows]
            admitted = iter(batch.admit([draft for draft in drafts if isinstance(draft, Draft)]))
            outcomes = [next(admitted) if isinstance(draft, Draft) else draft for draft in drafts]
            entries: list[Entry] = []
            for row, outcome in zip(rows, outcomes, strict=True):
                if isinstance(outcome, Stored):
                    entries.extend(outcome.entries)
                else:
                    logger.error("outbox entry %s (%s) was refused: %s", row.pk, row.kind, outcome.message)
                    OutboxEntry.objects.filter(pk=row.pk).update(failed=outcome.message[:500])
            OutboxEntry.objects.filter(pk__in=[row.pk for row in rows], failed="").delete()
            return entries

    def defer(self, draft: Draft) -> None:
        """Put `draft` into the outbox, inside the caller's transaction: it is published if and after that commits."""
        room_id = Room.objects.filter(name=draft.room).values_list("pk", flat=True).first()
        if room_id is None:
            raise UnknownRoom(field="room")
        row = OutboxEntry(
            room_id=room_id,
            kind=draft.kind.name,
            publication_id=draft.id,
            member=draft.sender.member,
            role=draft.sender.role,
            name=draft.sender.name,
            data=draft.data.decode(),
            at=self._clock.now(),
            expires_at=draft.expires_at,
            replaces=draft.replaces,
        )
        # The same id twice in one transaction is one publication, and must not break the caller's transaction.
        OutboxEntry.objects.bulk_create([row], ignore_conflicts=True)

    def prune(self, before: datetime) -> int:
        """Delete entries older than `before` that are not current state. Returns how many; the rooms' floors move up."""
        pruned = 0
        for room_id in list(Room.objects.order_by("id").values_list("pk", flat=True)):
            with transaction.atomic():
                room = Room.objects.select_for_update(no_key=True).get(pk=room_id)
                old = JournalEntry.objects.filter(room=room, at__lt=before)
                top = old.aggregate(top=Max("offset"))["top"]
                if top is None:
                    continue
                keyed = JournalEntry.objects.filter(room=room).exclude(key="").values("kind", "key", "audience")
                keep = [row["top"] for row in keyed.annotate(top=Max("offset"))]
                pruned += old.exclude(offset__in=keep).delete()[0]
                Room.objects.filter(pk=room_id).update(floor=max(room.floor, top))
        return pruned

    # -- reading ------------------------------------------------------------------------------------------------------

    def position(self, room: str) -> Position:
        """Where the journal of `room` stands. Raises UnknownRoom."""
        row = _guard(lambda: Room.objects.filter(name=room).first())
        if row is None:
            raise UnknownRoom(field="room")
        return _position(row)

    def positions(self, rooms: Iterable[str]) -> dict[str, tuple[str, int]]:
        """{room: (epoch, last offset)} in one query; rooms that are gone are missing."""
        names = list(rooms)
        rows = _guard(lambda: list(Room.objects.filter(name__in=names).values_list("name", "epoch", "last_offset")))
        return {name: (epoch, offset) for name, epoch, offset in rows}

    def since(self, room: str, offset: int, limit: int) -> list[Entry]:
        """All entries after `offset`, whoever may see them, oldest first: what a hub that missed something reads."""
        query = JournalEntry.objects.filter(room__name=room, offset__gt=offset).order_by("offset")[:limit]
        return [_entry(row, room) for row in _guard(lambda: list(query))]

    def history(self, room: str, offset: int, view: int, limit: int) -> tuple[Position, list[Entry]]:
        """What `view` missed after `offset` and is still worth telling, oldest first, and the position it is complete to."""
        position = self.position(room)
        query = _visible(room, view).filter(offset__gt=offset, offset__lte=position.offset, replaced=False)
        query = query.filter(Q(expires_at=None) | Q(expires_at__gt=self._clock.now())).order_by("offset")
        return position, [_entry(row, room) for row in _guard(lambda: list(query[: limit + 1]))]

    def state(self, room: str, view: int) -> State:
        """The current state for `view`. The offset is read first: what is newer in the state comes again as a publication."""
        position = self.position(room)
        now = self._clock.now()
        visible = _visible(room, view).filter(offset__lte=position.offset)

        def read() -> State:
            tops = visible.exclude(key="").values("kind", "key").annotate(top=Max("offset")).order_by("-top")
            latest = visible.filter(offset__in=[row["top"] for row in tops[:LATEST_MAX]])
            keyless = [k.name for k in KINDS.values() if k.durable and not k.coalesce_key and not k.acts and k.publishers]
            recent = visible.filter(kind__in=keyless, offset__gt=head_of(view, position.heads) - RECENT_OFFSETS)
            return State(position, self._domain.items(room, view), current(latest), current(recent))

        def current(rows: QuerySet[JournalEntry]) -> list[Entry]:
            fresh = rows.filter(Q(expires_at=None) | Q(expires_at__gt=now), replaced=False)
            return [_entry(row, room) for row in fresh.order_by("offset")]

        return _guard(read)

    def old(self, days: int) -> datetime:
        """The moment `days` before now, for `prune`."""
        return self._clock.now() - timedelta(days=days)


class _Batch:
    """The rooms of one transaction, locked, and what is about to be stored in them."""

    def __init__(self, domain: Domain, now: datetime, names: set[str]) -> None:
        self._domain = domain
        self._now = now
        # NO KEY: a transaction that only refers to the room (an outbox row) need not wait for us, nor we for it.
        query = Room.objects.select_for_update(no_key=True).filter(name__in=names).order_by("id")
        self.rooms = {room.name: room for room in query}
        self._rows: list[JournalEntry] = []
        self._known: dict[tuple[str, str, str], int] = {}

    def admit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        self._look_up(drafts)
        outcomes = [self._admit_one(draft) for draft in drafts]
        JournalEntry.objects.bulk_create(self._rows)
        touched = {row.room_id for row in self._rows}
        Room.objects.bulk_update([r for r in self.rooms.values() if r.pk in touched], ["last_offset", "heads"])
        return outcomes

    def _look_up(self, drafts: Sequence[Draft]) -> None:
        names = {room.pk: name for name, room in self.rooms.items()}
        members, ids = {draft.sender.member for draft in drafts}, {draft.id for draft in drafts}
        query = JournalEntry.objects.filter(room_id__in=names, member__in=members, client_id__in=ids)
        for room_id, member, client_id, offset in query.values_list("room_id", "member", "client_id", "offset"):
            self._known[names[room_id], member, client_id or ""] = offset

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

    def _append(self, room: Room, draft: Draft, effect: Effect, *, own: bool) -> Entry:
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
        key = _storable(coalesce_key(draft.kind, draft.payload, draft.sender.member)) if own else ""
        self._rows.append(_row(room, entry, key, draft.id if own else None))
        return entry

    def _replace(self, room: Room, draft: Draft) -> bool:
        """Whether there was something to replace: one's own publication, or anybody's for a planner, of the same kind."""
        which = {"kind": draft.kind.name, "publication_id": draft.replaces}
        if not ROLES.get(draft.sender.role, Role.STAFF) & (Role.PLANNER | Role.STAFF):
            which["member"] = draft.sender.member
        found = JournalEntry.objects.filter(room=room, **which).update(replaced=True)
        for row in self._rows:
            if row.room_id == room.pk and all(getattr(row, name) == value for name, value in which.items()):
                row.replaced, found = True, found + 1
        return found > 0


def _storable(text: str) -> str:
    """PostgreSQL stores neither NUL nor lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:120]


def _row(room: Room, entry: Entry, key: str, client_id: str | None) -> JournalEntry:
    return JournalEntry(
        room=room,
        offset=entry.offset,
        kind=entry.kind,
        audience=entry.audience,
        key=key,
        publication_id=entry.id,
        member=entry.sender.member,
        role=entry.sender.role,
        name=entry.sender.name,
        client_id=client_id,
        data=entry.data.decode(),
        result=entry.result.decode(),
        at=entry.at,
        expires_at=entry.expires_at,
        replaces=entry.replaces,
    )


def _entry(row: JournalEntry, room: str) -> Entry:
    return Entry(
        room=room,
        offset=row.offset,
        kind=row.kind,
        audience=row.audience,
        id=row.publication_id,
        sender=Sender(row.member, row.role, row.name),
        at=row.at,
        data=row.data.encode(),
        result=row.result.encode(),
        expires_at=row.expires_at,
        replaces=row.replaces,
    )


def _draft(row: OutboxEntry) -> Draft | RealtimeError:
    try:
        kind = KINDS[row.kind]
        payload = decode_data(kind, row.data.encode())
    except (KeyError, msgspec.ValidationError) as error:
        return Invalid(f"{row.kind}: {error}")
    sender = Sender(row.member, row.role, row.name)
    return Draft(row.room.name, kind, row.publication_id, row.data.encode(), payload, sender, row.expires_at, row.replaces)


def _position(room: Room) -> Position:
    heads = {int(audience): offset for audience, offset in room.heads.items()}
    return Position(room.epoch, room.last_offset, heads, room.floor)


def _visible(room: str, view: int) -> QuerySet[JournalEntry]:
    return JournalEntry.objects.alias(mine=F("audience").bitand(view)).filter(room__name=room, mine__gt=0)


def _guard(read: Callable[[], T]) -> T:
    try:
        return read()
    except (OperationalError, InterfaceError) as error:
        raise JournalUnavailable from error
