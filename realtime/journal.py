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
from django.db import Error, InterfaceError, OperationalError, connections, transaction
from django.db.models import F, Max, Q, QuerySet

from realtime.batch import Batch, few_round_trips
from realtime.clock import Clock
from realtime.errors import Invalid, JournalUnavailable, RealtimeError, UnknownRoom
from realtime.kinds import KINDS, decode_data
from realtime.messages import Sender
from realtime.models import JournalEntry, OutboxEntry, Room, new_epoch
from realtime.ports import Domain
from realtime.publication import Draft, Entry, Outcome, Position, State, Stored, Swept
from realtime.roles import head_of

logger = logging.getLogger(__name__)

RECENT_OFFSETS = 500
"""A snapshot carries the publications without a key that lie so far behind its offset; about six hours of a busy wedding."""
LATEST_MAX = 2_000
"""At most so many keyed publications of each kind in a snapshot, newest first: every guest of the largest wedding seen, twice.
Of each kind, so that no number of guests at the door takes an emergency out of sight."""
COMMANDS = [kind.name for kind in KINDS.values() if kind.acts]

_SPAN = """
realtime_journalentry WHERE room_id = (SELECT id FROM realtime_room WHERE name = %s) AND (audience & %s) > 0 AND "offset" <= %s
"""
_TOLD = f"""
SELECT * FROM {_SPAN} AND NOT replaced AND (expires_at IS NULL OR expires_at > %s) AND (
    "offset" > %s AND kind IN ({{keyless}})
    OR "offset" IN (SELECT newest FROM (
        SELECT max("offset") AS newest, row_number() OVER (PARTITION BY kind ORDER BY max("offset") DESC) AS place
        FROM {_SPAN} AND key <> '' GROUP BY kind, key
    ) AS known WHERE place <= %s)
) ORDER BY "offset"
"""
"""Written out: a fleet that comes up cold reads it for each audience of each wedding; composing it took four times as long."""

READ_ONLY = "25006"
"""PostgreSQL (appendix A): a standby, or a server whose disk is nearly full, stores nothing, and that passes."""

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
            with transaction.atomic(durable=True), few_round_trips():
                return Batch(self._domain, self._clock.now(), {d.room for d in drafts}, drafts).admit(drafts)
        except Exception as error:  # rolled back: nothing of it is stored
            if _away(error):
                raise JournalUnavailable from error
            if len(drafts) == 1:  # the one at fault must not take the others with it
                logger.exception("the journal refused a publication of kind %s", drafts[0].kind.name)
                return [RealtimeError("The journal refused this publication.")]
            return [outcome for draft in drafts for outcome in self.commit([draft])]

    def sweep(self, limit: int = 256) -> Swept:
        """Publish what committed transactions left in the outbox, in the order of its ids, `limit` rows at the most."""
        return _guard(lambda: self._swept(limit))

    def _swept(self, limit: int) -> Swept:
        waiting = list(OutboxEntry.objects.filter(failed="").order_by("id").values_list("pk", "room__name")[:limit])
        if not waiting:
            return Swept()
        try:
            entries = self._sweep({name for _, name in waiting}, [pk for pk, _ in waiting])
        except Error as error:
            if _away(error):
                raise
            # One row that cannot be stored must not hold up the others for ever: find it and set it aside.
            entries = [entry for pk, name in waiting for entry in self._sweep_alone(name, pk)]
        return Swept(tuple(entries), len(waiting) == limit)

    def probe(self) -> None:
        """Store something that changes nothing. Raises JournalUnavailable when nothing can be stored."""
        first = Room.objects.filter(pk__in=Room.objects.order_by("pk").values("pk")[:1])
        _guard(lambda: first.update(floor=F("floor")))

    def _sweep_alone(self, name: str, pk: int) -> list[Entry]:
        try:
            return self._sweep({name}, [pk])
        except Error as error:
            if _away(error):
                raise
            logger.exception("outbox entry %s cannot be published", pk)
            OutboxEntry.objects.filter(pk=pk).update(failed=str(error)[:500])
            return []

    def _sweep(self, names: set[str], pks: list[int]) -> list[Entry]:
        with transaction.atomic(durable=True):
            batch = Batch(self._domain, self._clock.now(), names)
            # Read only after the rooms are locked: whoever swept them before us has deleted what it published.
            rows = list(OutboxEntry.objects.filter(pk__in=pks, failed="").select_related("room").order_by("id"))
            drafts = [_draft(row) for row in rows]
            good = [draft for draft in drafts if isinstance(draft, Draft)]
            batch.look_up(good)
            admitted = iter(batch.admit(good))
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
        # One that was set aside makes room for another try.
        same = OutboxEntry.objects.filter(room_id=room_id, member=row.member, publication_id=row.publication_id)
        same.exclude(failed="").delete()
        # The same id twice in one transaction is one publication, and must not break the caller's transaction.
        OutboxEntry.objects.bulk_create([row], ignore_conflicts=True)

    def prune(self, before: datetime) -> int:
        """Delete entries older than `before` that are not current state. Returns how many; the rooms' floors move up. What was
        refused before then goes too."""
        OutboxEntry.objects.filter(at__lt=before).exclude(failed="").delete()
        pruned = 0
        for room_id in list(Room.objects.order_by("id").values_list("pk", flat=True)):
            with transaction.atomic():
                room = Room.objects.select_for_update(no_key=True).filter(pk=room_id).first()
                if room is None:  # its wedding was deleted meanwhile
                    continue
                old = JournalEntry.objects.filter(room=room, at__lt=before)
                top = old.aggregate(top=Max("offset"))["top"]
                if top is None:
                    continue
                keyed = JournalEntry.objects.filter(room=room).exclude(key="").values("kind", "key", "audience")
                keep = [row["top"] for row in keyed.annotate(top=Max("offset"))]
                pruned += old.exclude(offset__in=keep).delete()[0]
                Room.objects.filter(pk=room_id).update(floor=max(room.floor, top))
        return pruned

    def renew(self, rooms: Iterable[str] | None = None, epoch: str = "") -> int:
        """Give `rooms` (None: all) new epochs: their journals are no longer what clients have read, positions of before mean
        nothing any more. `epoch`: only those that still have it. Returns how many."""
        found = Room.objects.all() if rooms is None else Room.objects.filter(name__in=list(rooms))
        found = found.filter(epoch=epoch) if epoch else found

        def renewed() -> int:
            known = list(found.order_by("id").values_list("pk", "epoch"))
            return sum(Room.objects.filter(pk=pk, epoch=old).update(epoch=new_epoch()) for pk, old in known)

        return _guard(renewed)

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
        """What `view` missed after `offset` and is still worth telling, oldest first, and the position it is complete to.

        The floor of that is as high as the newest command that is over: it is not told, and what it did only in a snapshot.
        """
        position = self.position(room)
        query = _visible(room, view).filter(offset__gt=offset, offset__lte=position.offset).order_by("offset")
        telling = Q(replaced=False) & (Q(expires_at=None) | Q(expires_at__gt=self._clock.now()))
        rows = _guard(lambda: list(query.filter(telling | Q(kind__in=COMMANDS)).annotate(telling=telling)[: limit + 1]))
        floor = max([position.floor, *(row.offset for row in rows if not row.telling)])
        return msgspec.structs.replace(position, floor=floor), [_entry(row, room) for row in rows if row.telling]

    def state(self, room: str, view: int) -> State:
        """The current state for `view`. The offset is read first: what is newer in the state comes again as a publication."""
        position = self.position(room)
        return _guard(lambda: State(position, self._domain.items(room, view), *self._told(room, view, position)))

    def _told(self, room: str, view: int, position: Position) -> tuple[list[Entry], list[Entry]]:
        """(newest of each key, newest of those without a key) up to `position`, in order, as far as still worth telling."""
        if position.offset == 0:
            return [], []
        keyless = [k.name for k in KINDS.values() if k.durable and not k.coalesce_key and not k.acts and k.publishers]
        since = head_of(view, position.heads) - RECENT_OFFSETS
        now = connections[JournalEntry.objects.db].ops.adapt_datetimefield_value(self._clock.now())
        span = (room, view, position.offset)
        told = _TOLD.format(keyless=", ".join(["%s"] * len(keyless)))
        rows = list(JournalEntry.objects.raw(told, [*span, now, since, *keyless, *span, LATEST_MAX]))
        return [_entry(row, room) for row in rows if row.key], [_entry(row, room) for row in rows if not row.key]

    def old(self, days: int) -> datetime:
        """The moment `days` before now, for `prune`."""
        return self._clock.now() - timedelta(days=days)


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


def _away(error: Exception) -> bool:
    """Whether the database cannot answer, or can store nothing now; not for what it was given."""
    return isinstance(error, OperationalError | InterfaceError) or getattr(error.__cause__, "sqlstate", None) == READ_ONLY


def _guard(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Error as error:
        if _away(error):
            raise JournalUnavailable from error
        raise
