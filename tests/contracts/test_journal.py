"""What every database must keep of the journal's promises. Runs on whatever `DATABASE_URL` names; the acceptance tier runs it
on PostgreSQL too (tests/acceptance/test_postgres.py)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import InterfaceError, InternalError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from psycopg.errors import ReadOnlySqlTransaction

from realtime.config import RealtimeConfig
from realtime.draft import SYSTEM, draft
from realtime.errors import JournalUnavailable, Refused, UnknownRoom
from realtime.journal import Journal
from realtime.kinds import Kind
from realtime.messages import Sender
from realtime.models import JournalEntry, OutboxEntry, Room
from realtime.ports import Effect
from realtime.publication import Draft, Stored, Swept
from realtime.roles import VIEWS, Audience, Role
from tests.fakes import ManualClock

pytestmark = pytest.mark.django_db(transaction=True)
CONFIG = RealtimeConfig()
ANA = Sender("m1", "planner", "Ana")


class CountingDomain:
    """A domain whose only state is the epoch column of the room, so that a test sees whether a command's change was kept."""

    def act(self, room: str, kind: Kind, data: Struct, sender: Sender) -> list[Effect]:
        minutes = data.minutes  # type: ignore[attr-defined]
        Room.objects.filter(name=room).update(floor=minutes)
        if minutes < 0:
            raise Refused(field="minutes")
        if minutes == 7:
            raise ValueError("a bug in a command")
        return [
            Effect(Audience.CREW, b'{"items":[1]}'),
            Effect(Audience.EVERYONE, kind="timeline.items", data=b'{"items":[2]}'),
        ]

    def items(self, room: str, view: int) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def journal(clock: ManualClock) -> Iterator[Journal]:
    for name in ("a", "b"):
        Room.objects.create(name=name)
    yield Journal(CountingDomain(), clock)  # type: ignore[arg-type]


def say(text: str, *, room: str = "a", id: str | None = None, sender: Sender = ANA, **more: Any) -> Draft:
    return draft(CONFIG, room, "chat.crew", {"text": text}, sender=sender, id=id, **more)


def offsets(room: str = "a") -> list[int]:
    return list(JournalEntry.objects.filter(room__name=room).order_by("offset").values_list("offset", flat=True))


def texts(journal: Journal, since: int = 0, view: int = VIEWS[Role.PLANNER]) -> list[bytes]:
    return [entry.data for entry in journal.history("a", since, view, 100)[1]]


def test_offsets_are_contiguous_in_each_room(journal: Journal) -> None:
    stored = journal.commit([say("1"), say("2", room="b"), say("3")])
    assert [outcome.offset for outcome in stored if isinstance(outcome, Stored)] == [1, 1, 2]
    assert journal.position("a").offset == 2
    assert journal.position("a").heads == {int(Audience.CREW): 2}


def test_data_is_stored_to_the_letter(journal: Journal) -> None:
    raw = '{"text":  "caf\\u00e9 \\u0000 \N{PARTY POPPER}"}'.encode()
    journal.commit([draft(CONFIG, "a", "chat.crew", raw)])
    assert journal.since("a", 0, 10)[0].data == raw


def test_the_same_id_of_the_same_member_is_one_entry(journal: Journal) -> None:
    first, again = journal.commit([say("1", id="x"), say("other text", id="x")])
    later = journal.commit([say("1", id="x")])[0]
    other = journal.commit([say("1", id="x", sender=Sender("m2", "planner"))])[0]
    assert isinstance(first, Stored) and again == Stored(1, duplicate=True) == later
    assert isinstance(other, Stored) and other.offset == 2
    assert texts(journal) == [b'{"text":"1"}', b'{"text":"1"}']


def test_an_unknown_room_does_not_harm_the_others(journal: Journal) -> None:
    bad, good = journal.commit([say("1", room="nowhere"), say("2")])
    assert isinstance(bad, UnknownRoom) and isinstance(good, Stored)


def shift(minutes: int, id: str | None = None) -> Draft:
    return draft(CONFIG, "a", "timeline.shift", {"item": 1, "minutes": minutes}, id=id)


def test_a_refused_command_leaves_nothing_behind(journal: Journal) -> None:
    bad, good = journal.commit([shift(-5), say("2")])
    assert isinstance(bad, Refused) and isinstance(good, Stored)
    assert Room.objects.get(name="a").floor == 0
    assert offsets() == [1]


def test_a_command_leaves_its_entry_and_those_for_other_audiences(journal: Journal) -> None:
    stored = journal.commit([shift(5, id="s")])[0]
    assert isinstance(stored, Stored) and [entry.kind for entry in stored.entries] == ["timeline.shift", "timeline.items"]
    assert Room.objects.get(name="a").floor == 5
    guest = journal.history("a", 0, VIEWS[Role.GUEST], 10)[1]
    assert [entry.data for entry in guest] == [b'{"items":[2]}']
    assert journal.commit([shift(5, id="s")]) == [Stored(1, duplicate=True)]


def test_a_bug_in_a_command_refuses_that_one_only(journal: Journal) -> None:
    bad, good = journal.commit([shift(7), say("2")])
    assert not isinstance(bad, Stored) and isinstance(good, Stored)
    assert Room.objects.get(name="a").floor == 0


def test_a_draft_that_cannot_be_stored_does_not_take_the_others_with_it(journal: Journal) -> None:
    broken = say("x", sender=Sender("m" * 500, "planner"))
    bad, good = journal.commit([msgspec.structs.replace(broken, id="y" * 500, data=b"\xff"), say("2")])
    assert not isinstance(bad, Stored) and isinstance(good, Stored) and offsets() == [1]


def test_expired_and_replaced_entries_stay_in_the_log_but_are_not_replayed(journal: Journal, clock: ManualClock) -> None:
    soon = clock.now() + timedelta(minutes=5)
    journal.commit([say("cake in 5", id="cake", expires_at=soon), say("old", id="old"), say("new", replaces="old")])
    assert texts(journal) == [b'{"text":"cake in 5"}', b'{"text":"new"}']
    clock.advance(600)
    assert texts(journal) == [b'{"text":"new"}']
    assert offsets() == [1, 2, 3]


@pytest.mark.parametrize("how", ["expires", "is replaced"])
def test_a_command_that_is_over_is_not_replayed_and_who_missed_it_needs_a_snapshot(
    journal: Journal, clock: ManualClock, how: str
) -> None:
    def act(id: str, **more: Any) -> Draft:
        return draft(CONFIG, "a", "timeline.shift", {"item": 1, "minutes": 5}, sender=ANA, id=id, **more)

    soon = {"expires_at": clock.now() + timedelta(minutes=5)} if how == "expires" else {}
    journal.commit([say("before"), act("act", **soon)])
    position, told = journal.history("a", 1, VIEWS[Role.PLANNER], 100)
    assert position.floor == 5 and [entry.id for entry in told][0] == "act"  # the domain of this test leaves 5 in the floor
    Room.objects.update(floor=0)
    journal.commit([say("after")] if how == "expires" else [act("again", replaces="act")])
    Room.objects.update(floor=0)
    clock.advance(600)
    position, told = journal.history("a", 1, VIEWS[Role.PLANNER], 100)
    assert position.floor == 2 and told and "act" not in [entry.id for entry in told]
    assert journal.history("a", 2, VIEWS[Role.PLANNER], 100)[0].floor == 0


@pytest.mark.parametrize("together", [True, False])
def test_what_replaces_something_says_what(journal: Journal, together: bool) -> None:
    drafts = [say("old", id="old"), say("new", id="new", replaces="old"), say("newer", replaces="nothing")]
    batches = [drafts] if together else [[draft] for draft in drafts]
    stored = [outcome for batch in batches for outcome in journal.commit(batch)]
    told = [entry.replaces for outcome in stored if isinstance(outcome, Stored) for entry in outcome.entries]
    assert told == [entry.replaces for entry in journal.since("a", 0, 10)] == ["", "old", ""]
    assert texts(journal) == [b'{"text":"new"}', b'{"text":"newer"}']


def test_to_see_whether_something_can_be_stored_changes_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([say("one")])
    before = list(Room.objects.order_by("pk").values())
    with CaptureQueriesContext(connection) as asked:
        journal.probe()
    assert any(query["sql"].startswith("UPDATE") for query in asked) and list(Room.objects.order_by("pk").values()) == before

    def refusing(*_: Any, **__: Any) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("realtime.journal.QuerySet.update", refusing)
    with pytest.raises(JournalUnavailable):
        journal.probe()


@pytest.mark.parametrize("how", ["read only", "hung up"])
def test_a_database_that_stores_nothing_for_now_has_refused_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def refusing(*_: Any) -> None:
        if how == "hung up":
            raise InterfaceError("connection already closed")
        raise InternalError("cannot execute in a read-only transaction") from ReadOnlySqlTransaction()

    with transaction.atomic():
        journal.defer(say("waits", id="waits"))
    with monkeypatch.context() as patch:
        patch.setattr("realtime.journal.Batch.admit", refusing)
        for drafts in ([say("one")], [say("one"), say("two")]):
            with pytest.raises(JournalUnavailable):
                journal.commit(drafts)
        with pytest.raises(JournalUnavailable):
            journal.sweep()
    assert [entry.id for entry in journal.sweep().entries] == ["waits"], "it was not set aside"


@pytest.mark.parametrize("together", [True, False])
def test_what_is_settled_is_not_brought_back_by_who_did_not_know(journal: Journal, together: bool) -> None:
    def issue(number: int, state: str, about: str = "arch") -> Draft:
        data = {"issue": about, "title": "Arch", "severity": "high", "category": "vendor", "state": state}
        return draft(CONFIG, "a", "issue.report", data, sender=Sender("m1", "vendor"), id=f"{about}{number}")

    states = ["open", "working", "resolved", "working", "resolved", "open", "working"]
    drafts = [issue(number, state) for number, state in enumerate(states)]
    drafts.insert(4, issue(0, "working", "cake"))
    outcomes = journal.commit(drafts) if together else [journal.commit([one])[0] for one in drafts]
    assert [isinstance(outcome, Stored) for outcome in outcomes] == [True, True, True, False, True, True, True, True]
    assert isinstance(outcomes[3], Refused) and outcomes[3].field == "data.state"
    assert len(journal.since("a", 0, 10)) == 7
    (again,) = journal.commit([drafts[1]])
    assert isinstance(again, Stored) and again.duplicate, "what was taken is answered as before"
    slip = [issue(1, "resolved", "rain"), replace(issue(2, "working", "rain"), replaces="rain1"), issue(3, "working", "rain")]
    stored = journal.commit(slip) if together else [journal.commit([one])[0] for one in slip]
    assert all(isinstance(outcome, Stored) for outcome in stored), "a slip of one's own can be corrected"


def test_a_vendor_replaces_only_what_is_theirs(journal: Journal) -> None:
    vendor = Sender("m9", "vendor")
    journal.commit([say("plan", id="plan"), say("hijack", replaces="plan", sender=vendor)])
    assert texts(journal) == [b'{"text":"plan"}', b'{"text":"hijack"}']
    assert [entry.replaces for entry in journal.since("a", 0, 10)] == ["", ""]


def test_a_snapshot_has_the_newest_of_each_key(journal: Journal) -> None:
    def status(vendor: str, status: str) -> Draft:
        return draft(CONFIG, "a", "vendor.status", {"vendor": vendor, "status": status})

    journal.commit([status("DJ", "en_route"), status("florist", "on_site"), status("DJ", "on_site"), say("hello")])
    state = journal.state("a", VIEWS[Role.VENDOR])
    assert [entry.offset for entry in state.latest] == [2, 3]
    assert [entry.offset for entry in state.recent] == [4]
    guest = journal.state("a", VIEWS[Role.GUEST])
    assert guest.latest == [] and guest.recent == []


def test_a_kind_with_many_keys_pushes_no_other_out_of_a_snapshot(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.journal.LATEST_MAX", 3)
    alert = draft(CONFIG, "a", "emergency.alert", {"alert": "a1", "category": "fire", "text": "Leave the hall"})
    status = draft(CONFIG, "a", "vendor.status", {"vendor": "DJ", "status": "on_site"})
    seats = [draft(CONFIG, "a", "seating.change", {"guest": f"g{n}", "table": "T1"}) for n in range(4)]
    doors = [draft(CONFIG, "a", "guest.checkin", {"guest": f"g{n}"}) for n in range(5)]
    journal.commit([alert, status, *seats, *doors])
    assert [entry.offset for entry in journal.state("a", VIEWS[Role.PLANNER]).latest] == [1, 2, 4, 5, 6, 9, 10, 11]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["status", "seat", "say", "guests"]),
        st.sampled_from("abc"),
        st.sampled_from([None, 5, 50]),
        st.booleans(),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_a_snapshot_is_what_adding_up_the_log_gives(
    journal: Journal, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, str, int | None, bool]]
) -> None:
    monkeypatch.setattr("realtime.journal.RECENT_OFFSETS", 6)
    monkeypatch.setattr("realtime.journal.LATEST_MAX", 2)
    Room.objects.create(name=(room := f"r{Room.objects.count()}"))
    for number, (what, name, lasts_s, replaces) in enumerate(steps):
        extra: dict[str, Any] = {"id": f"p{number}"} | ({"replaces": f"p{number - 1}"} if replaces and number else {})
        extra |= {"expires_at": clock.now() + timedelta(seconds=lasts_s)} if lasts_s else {}
        if what == "status":
            journal.commit([draft(CONFIG, room, "vendor.status", {"vendor": name, "status": "on_site"}, **extra)])
        elif what == "seat":
            journal.commit([draft(CONFIG, room, "seating.change", {"guest": name, "table": "T1"}, **extra)])
        else:
            journal.commit([draft(CONFIG, room, "chat.crew" if what == "say" else "chat.guests", {"text": name}, **extra)])
        clock.advance(2)
    log = list(JournalEntry.objects.filter(room__name=room).order_by("offset"))
    for view in {VIEWS[Role.GUEST], VIEWS[Role.VENDOR], VIEWS[Role.PLANNER]}:
        seen = [row for row in log if row.audience & view]
        newest = {(row.kind, row.key): row.offset for row in seen if row.key}
        of_kind = [sorted(n for (kind, _), n in newest.items() if kind == each) for each in ("vendor.status", "seating.change")]
        kept = [offset for offsets in of_kind for offset in offsets[-2:]]
        since = max((row.offset for row in seen), default=0) - 6
        fresh = [row for row in seen if not row.replaced and (row.expires_at is None or row.expires_at > clock.now())]
        state = journal.state(room, view)
        assert [entry.offset for entry in state.latest] == [row.offset for row in fresh if row.offset in kept]
        assert [entry.offset for entry in state.recent] == [row.offset for row in fresh if not row.key and row.offset > since]


def test_publishes_of_a_transaction_follow_its_commit(journal: Journal) -> None:
    with transaction.atomic():
        journal.defer(say("1"))
        journal.defer(say("2", id="twice"))
        journal.defer(say("2", id="twice"))
    assert offsets() == []
    assert [entry.offset for entry in journal.sweep().entries] == [1, 2]
    assert journal.sweep() == Swept() and not OutboxEntry.objects.exists()


def test_publishes_of_a_rolled_back_transaction_never_happen(journal: Journal) -> None:
    with pytest.raises(ValueError, match="no"), transaction.atomic():
        journal.defer(say("1"))
        raise ValueError("no")
    assert journal.sweep() == Swept() and offsets() == []


def test_an_outbox_row_that_is_refused_is_set_aside_with_the_reason(journal: Journal) -> None:
    with transaction.atomic():
        journal.defer(shift(-1))
        journal.defer(say("2"))
    assert [entry.data for entry in journal.sweep().entries] == [b'{"text":"2"}']
    assert OutboxEntry.objects.get().failed == Refused().message
    assert journal.sweep() == Swept()


def test_a_look_into_the_outbox_says_whether_there_may_be_more(journal: Journal) -> None:
    with transaction.atomic():
        for n in range(3):
            journal.defer(say(str(n)))
    swept = [journal.sweep(limit=2) for _ in range(2)]
    assert [(len(some.entries), some.more) for some in swept] == [(2, True), (1, False)]


def test_pruning_forgets_what_was_refused_long_ago(journal: Journal, clock: ManualClock) -> None:
    with transaction.atomic():
        journal.defer(shift(-1))
    journal.sweep()
    clock.advance(86_400 * 3)
    with transaction.atomic():
        journal.defer(shift(-2))
        journal.defer(say("waits"))
    journal.prune(journal.old(days=1))
    assert OutboxEntry.objects.filter(failed="").count() == 2
    journal.sweep()
    assert OutboxEntry.objects.count() == 1


def test_the_id_of_a_refused_outbox_row_can_be_used_again(journal: Journal) -> None:
    for command in (shift(-1, id="task-7"), say("now it is right", id="task-7", sender=SYSTEM)):
        with transaction.atomic():
            journal.defer(command)
        swept = [entry.data for entry in journal.sweep().entries]
    assert swept == [b'{"text":"now it is right"}'] and not OutboxEntry.objects.exists()


def test_pruning_passes_over_a_room_that_goes_meanwhile(journal: Journal, clock: ManualClock) -> None:
    journal.commit([say("old")])
    clock.advance(86_400 * 3)

    def without_rooms(execute: Any, sql: str, *rest: Any) -> Any:
        found = execute(sql, *rest)
        if sql.startswith("SELECT") and "ORDER BY" in sql:
            Room.objects.all().delete()  # its wedding is deleted between the list of rooms and their turn
        return found

    with connection.execute_wrapper(without_rooms):
        assert journal.prune(journal.old(days=1)) == 0


def test_pruning_keeps_current_state_and_moves_the_floor(journal: Journal, clock: ManualClock) -> None:
    journal.commit([draft(CONFIG, "a", "vendor.status", {"vendor": "DJ", "status": "on_site"}), say("old")])
    clock.advance(86_400 * 3)
    journal.commit([say("new")])
    assert journal.prune(journal.old(days=1)) == 1
    assert offsets() == [1, 3]
    assert journal.position("a").floor == 2


def test_writers_in_many_threads_leave_no_hole(journal: Journal) -> None:
    def write(n: int) -> None:
        try:
            for i in range(10):
                pair = [say(f"{n}.{i}", room=room) for room in ("ab" if n % 2 else "ba")]
                assert all(isinstance(outcome, Stored) for outcome in journal.commit(pair))
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert offsets("a") == offsets("b") == list(range(1, 41))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=6), max_size=6))
def test_any_batches_of_any_ids_are_stored_once_each(journal: Journal, batches: list[list[tuple[str, int]]]) -> None:
    JournalEntry.objects.all().delete()
    Room.objects.update(last_offset=0, heads={})
    for batch in batches:
        journal.commit([say("x", room=room, id=f"id{n}", sender=SYSTEM) for room, n in batch])
    for room in "ab":
        wanted = {f"id{n}" for batch in batches for name, n in batch if name == room}
        rows = JournalEntry.objects.filter(room__name=room)
        assert {row.client_id for row in rows} == wanted
        assert offsets(room) == list(range(1, len(wanted) + 1))
        assert journal.position(room).offset == len(wanted)


def test_a_new_epoch_is_given_once_to_those_that_still_have_the_old_one(journal: Journal) -> None:
    names = [name for name, _ in sorted(Room.objects.values_list("name", "epoch"))]
    before = journal.positions(names)
    first = names[0]
    assert journal.renew([first], before[first][0]) == 1 and journal.renew([first], before[first][0]) == 0
    renewed = journal.positions(names)
    assert renewed.items() - before.items() == {(first, renewed[first])} and renewed[first][1] == before[first][1]
    assert journal.renew() == len(names)
    assert not journal.positions(names).items() & renewed.items()
