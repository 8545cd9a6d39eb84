"""Commands on the run sheet: what each role is told adds up to what it would read afresh, and nobody is told too much."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.config import RealtimeConfig
from realtime.draft import draft
from realtime.errors import RealtimeError
from realtime.journal import Journal
from realtime.kinds import KINDS, RESTORED_MAX, Shift, decode_data
from realtime.messages import Sender, encode
from realtime.models import JournalEntry, Room
from realtime.policy.limits import message_limit
from realtime.publication import Stored
from realtime.roles import OPS, VIEWS, Audience, Role
from tests.fakes import ManualClock
from wedsync.weddings.domain import domain
from wedsync.weddings.exporting import runsheet_csv
from wedsync.weddings.models import EARLIEST, LATEST, MINUTES_MAX, ApiToken, Member, RunSheetItem, Wedding
from wedsync.weddings.runsheets import Row, load, read

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)
PLANNER = Sender("m1", "planner", "Sam")
ROLES = [Role.PLANNER, Role.COUPLE, Role.VENDOR, Role.GUEST, Role.DISPLAY]
PUBLIC = {"id", "start", "minutes", "title", "where", "kind", "status", "version"}


def wedding() -> Wedding:
    return Wedding.objects.create(slug="w", names="A & B", venue="V", timezone="Europe/London", ceremony_at=NOON)


def fill(room: Wedding, lines: list[tuple[int, int, str, str, list[int]]]) -> list[RunSheetItem]:
    """(start minute, minutes, kind, visibility, indices of earlier lines it waits for)."""
    items: list[RunSheetItem] = []
    for n, (start, minutes, kind, visibility, waits_for) in enumerate(lines):
        parents = [items[i % n] for i in waits_for] if n else []
        item = RunSheetItem.objects.create(
            wedding=room,
            title=f"item {n}",
            start=NOON + timedelta(minutes=start),
            minutes=minutes,
            kind=kind,
            visibility=visibility,
            notes=f"secret {n}",
            who=["DJ"],
            depends_on=sorted({p.pk for p in parents}),
        )
        items.append(item)
    return items


def journal() -> Journal:
    return Journal(domain, ManualClock())


def act(writer: Journal, kind: str, data: dict[str, Any], sender: Sender = PLANNER) -> Any:
    return writer.commit([draft(RealtimeConfig(), "w", kind, data, sender=sender)])[0]


def upsert(known: dict[int, dict[str, Any]], writer: Journal, since: int, view: int) -> None:
    """What a client does with the entries after `since`."""
    for entry in writer.history("w", since, view, 1_000)[1]:
        told = msgspec.json.decode(entry.result or entry.data)
        for item in told.get("items", []):
            if item["version"] > known.get(item["id"], {"version": 0})["version"]:
                known[item["id"]] = item


LINE = st.tuples(
    st.integers(0, 300),
    st.integers(1, 90),
    st.sampled_from(["anchor", "flex", "buffer", "cue"]),
    st.sampled_from(["everyone", "crew", "planners"]),
    st.lists(st.integers(0, 10), max_size=2),
)
COMMAND = st.one_of(
    st.tuples(st.just("timeline.shift"), st.integers(0, 7), st.integers(-60, 60)),
    st.tuples(st.just("timeline.event"), st.integers(0, 7), st.sampled_from(["completed", "delayed", "pending"])),
    st.tuples(st.just("timeline.reorder"), st.integers(0, 7), st.integers(0, 7)),
    st.tuples(st.just("cue.go"), st.integers(0, 7), st.none()),
    st.tuples(st.just("timeline.restore"), st.integers(0, 7), st.integers(0, 300)),
)
FIELD = {"timeline.shift": "minutes", "timeline.event": "status", "timeline.reorder": "after"}


def data_of(kind: str, item: int, argument: Any, ids: list[int]) -> dict[str, Any]:
    named = {"item": ids[item % len(ids)]}
    if kind == "cue.go":
        return named
    if kind == "timeline.restore":
        version = RunSheetItem.objects.get(pk=named["item"]).version
        start = (NOON + timedelta(minutes=argument)).isoformat()
        return {"items": [named | {"version": version, "start": start, "minutes": 10}]}
    return named | {FIELD[kind]: ids[argument % len(ids)] if kind == "timeline.reorder" else argument}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINE, min_size=1, max_size=8), st.lists(COMMAND, max_size=8), st.integers(0, 8))
def test_a_snapshot_and_what_followed_equal_a_fresh_snapshot(lines: Any, commands: Any, at: int) -> None:
    Wedding.objects.all().delete()
    Room.objects.all().delete()
    ids = [item.pk for item in fill(wedding(), lines)]
    writer = journal()
    known: dict[Role, dict[int, dict[str, Any]]] = {}
    since = 0
    for n, command in enumerate([*commands, None]):
        if n == min(at, len(commands)):
            known = {role: {i["id"]: i for i in domain.items("w", VIEWS[role])} for role in ROLES}
            since = writer.position("w").offset
        if command is not None:
            act(writer, command[0], data_of(*command, ids))
    for role in ROLES:
        upsert(known[role], writer, since, VIEWS[role])
        fresh = {item["id"]: item for item in domain.items("w", VIEWS[role])}
        assert known[role] == fresh, role
    assert_no_leak(lines, ids)


def assert_no_leak(lines: Any, ids: list[int]) -> None:
    """Neither ids nor fields of items in an entry that its readers may not see."""
    visibility = dict(zip(ids, (line[3] for line in lines), strict=True))
    hidden = {Role.GUEST: {"crew", "planners"}, Role.DISPLAY: {"crew", "planners"}, Role.VENDOR: {"planners"}}
    for entry in JournalEntry.objects.all():
        told = msgspec.json.decode(entry.result or entry.data)
        for role, forbidden in hidden.items():
            if entry.audience & role:
                named = {i["id"] for i in told.get("items", [])} | {int(n) for n in told.get("absorbed", {})}
                named |= {n for i in told.get("items", []) for n in i.get("depends_on", [])}
                named |= {c[k] for c in told.get("conflicts", []) for k in ("item", "waits_for")}
                published = msgspec.json.decode(entry.data)
                named |= {published[k] for k in ("item", "after") if k in published}
                named |= {restored["item"] for restored in published.get("items", []) if "item" in restored}
                assert not {visibility[n] for n in named} & forbidden
                assert role is Role.VENDOR or all(set(i) - {"planned"} == PUBLIC for i in told.get("items", []))


def test_a_guest_reads_public_items_in_public_form() -> None:
    fill(wedding(), [(0, 10, "flex", "everyone", []), (10, 10, "flex", "crew", []), (20, 5, "cue", "planners", [])])
    assert [set(item) for item in domain.items("w", VIEWS[Role.GUEST])] == [PUBLIC]
    assert len(domain.items("w", VIEWS[Role.VENDOR])) == 2
    assert len(domain.items("w", VIEWS[Role.COUPLE])) == 3


REFUSED = [
    ("timeline.shift", {"item": 999_999, "minutes": 5}, PLANNER),
    ("cue.go", {"item": "flex"}, PLANNER),
    ("timeline.event", {"item": "planners", "status": "completed"}, Sender("m2", "vendor")),
]


@pytest.mark.parametrize(("kind", "data", "sender"), REFUSED, ids=["unknown item", "not a cue", "a vendor's blind spot"])
def test_refused(kind: str, data: dict[str, Any], sender: Sender) -> None:
    items = fill(wedding(), [(0, 10, "flex", "everyone", []), (20, 5, "cue", "planners", [])])
    names = {"flex": items[0].pk, "planners": items[1].pk}
    outcome = act(journal(), kind, data | {"item": names.get(data["item"], data["item"])}, sender)
    assert isinstance(outcome, RealtimeError) and outcome.code == "refused" and outcome.field == "data.item"
    assert not JournalEntry.objects.exists()


def test_a_cue_is_given_once() -> None:
    cue = fill(wedding(), [(0, 5, "cue", "everyone", [])])[0]
    writer = journal()
    assert isinstance(act(writer, "cue.go", {"item": cue.pk}), Stored)
    assert isinstance(act(writer, "cue.go", {"item": cue.pk}), Stored)
    cue.refresh_from_db()
    assert (cue.status, cue.version) == ("completed", 2)


def test_a_form_names_no_item_that_one_of_its_readers_may_not_know() -> None:
    """Not even to planners, who get the crew's form: one version of an item has one meaning."""
    secret, _, surprise = fill(
        wedding(), [(0, 10, "flex", "planners", []), (10, 10, "flex", "crew", [0]), (20, 5, "cue", "planners", [0])]
    )
    read = {role: {i["id"]: i["depends_on"] for i in domain.items("w", VIEWS[role])} for role in (Role.VENDOR, Role.COUPLE)}
    assert list(read[Role.VENDOR].values()) == [[]]
    assert list(read[Role.COUPLE].values()) == [[], [], [secret.pk]]
    assert surprise.pk in read[Role.COUPLE]


def test_what_follows_something_secret_still_moves_and_the_command_stays_with_the_planners() -> None:
    secret, cue = fill(wedding(), [(0, 10, "flex", "planners", []), (10, 10, "cue", "everyone", [0])])
    act(journal(), "timeline.shift", {"item": secret.pk, "minutes": 5})
    told = [(entry.kind, entry.audience) for entry in JournalEntry.objects.order_by("offset")]
    assert told == [
        ("timeline.shift", Audience.PLANNERS),
        ("timeline.items", Audience.CREW),
        ("timeline.items", Audience.EVERYONE),
    ]
    cue.refresh_from_db()
    assert (cue.start, cue.version) == (NOON + timedelta(minutes=15), 2)


def test_a_command_that_names_a_secret_item_second_stays_with_the_planners() -> None:
    item, secret = fill(wedding(), [(0, 10, "flex", "everyone", []), (20, 5, "cue", "planners", [])])
    act(journal(), "timeline.reorder", {"item": item.pk, "after": secret.pk})
    assert JournalEntry.objects.get(kind="timeline.reorder").audience == Audience.PLANNERS


def test_what_moved_a_long_run_sheet_is_taken_back_in_one_message() -> None:
    back = {"item": 2**31, "version": 99_999, "start": "2027-06-12T12:00:00+00:00", "minutes": MINUTES_MAX}
    said = encode({"items": [back] * RESTORED_MAX, "reason": "ü" * 2_000})
    assert len(decode_data(KINDS["timeline.restore"], said).items) == RESTORED_MAX  # type: ignore[attr-defined]
    assert len(said) + 500 < message_limit(Role.PLANNER, RealtimeConfig())


def test_an_impossible_change_is_refused_with_its_reason() -> None:
    first, second = fill(wedding(), [(0, 10, "anchor", "everyone", []), (20, 5, "flex", "everyone", [0])])
    outcome = act(journal(), "timeline.reorder", {"item": first.pk, "after": second.pk})
    assert isinstance(outcome, RealtimeError) and (outcome.code, outcome.field) == ("refused", "data.item")
    assert "anchor" in outcome.message
    assert set(RunSheetItem.objects.values_list("version", flat=True)) == {1}


def test_who_comes_in() -> None:
    room, users = wedding(), get_user_model().objects
    staff, planner, stranger = (users.create_user(name, is_staff=name == "staff") for name in ("staff", "planner", "stranger"))
    sam = Member.objects.create(wedding=room, user=planner, name="Sam", role="planner")
    maya = Member.objects.create(wedding=room, name="Maya", role="guest")
    joined = {"members": {"w": maya.join_key}}
    assert domain.member("w", planner, joined) == Sender(sam.public_id, "planner", "Sam")
    assert domain.member("w", staff, joined) == Sender(f"u{staff.pk}", "staff", "staff")
    assert domain.member("w", stranger, joined) == Sender(maya.public_id, "guest", "Maya")
    assert domain.member("w", AnonymousUser(), joined) == Sender(maya.public_id, "guest", "Maya")
    assert domain.member("w", AnonymousUser(), {"members": {"other": maya.join_key}}) is None
    assert domain.member("w", AnonymousUser(), {"members": {"w": maya.pk}}) is None, "the number anybody can guess"
    assert domain.member("other", staff, joined) is None
    Member.objects.update(revoked=True)
    assert domain.member("w", planner, joined) is None


def test_the_longest_user_name_fits_into_the_journal() -> None:
    wedding()
    staff = get_user_model().objects.create_user("a" * 138 + "@x.example", is_staff=True)
    for room in ("w", OPS):
        who = domain.member(room, staff, {})
        assert who is not None and who.member == f"u{staff.pk}" and who.name == "a" * 120


def test_a_token_is_good_for_its_wedding_until_it_is_revoked() -> None:
    room = wedding()
    token = ApiToken.issue(room, "till")
    row = ApiToken.objects.get()
    assert token not in (row.sha256, row.name)
    assert domain.token("w", token) == Sender(f"a{row.pk}", "staff", "till")
    assert domain.token("w", token + "x") is None and domain.token("other", token) is None
    row.revoked_at = NOON
    row.save()
    assert domain.token("w", token) is None


def test_an_edited_sheet_reaches_every_level_in_its_form() -> None:
    items = fill(wedding(), [(0, 10, "flex", "everyone", []), (10, 10, "flex", "crew", []), (20, 5, "cue", "planners", [])])
    writer = journal()
    known = {role: {i["id"]: i for i in domain.items("w", VIEWS[role])} for role in ROLES}
    RunSheetItem.objects.filter(pk=items[0].pk).update(title="new", version=2)
    gone = {"crew": [items[1].pk], "planners": [items[2].pk]}
    RunSheetItem.objects.filter(pk__in=[items[1].pk, items[2].pk]).delete()
    assert isinstance(act(writer, "timeline.sheet", {"removed": gone}, Sender("system", "system")), Stored)
    for role in ROLES:
        upsert(known[role], writer, 0, VIEWS[role])
        for entry in writer.history("w", 0, VIEWS[role], 10)[1]:
            for pk in msgspec.json.decode(entry.result or entry.data)["removed"]:
                known[role].pop(pk, None)
        assert list(known[role].values()) == domain.items("w", VIEWS[role])
    guest = writer.history("w", 0, VIEWS[Role.GUEST], 10)[1]
    assert [msgspec.json.decode(entry.data)["removed"] for entry in guest] == [[]]


def back_to(items: list[RunSheetItem]) -> dict[str, Any]:
    """A restore of these items to where they were when they were read, with the versions they have now."""
    now = {item.pk: item.version for item in RunSheetItem.objects.all()}
    return {"items": [{"item": i.pk, "version": now[i.pk], "start": i.start.isoformat(), "minutes": i.minutes} for i in items]}


BUFFERED = [(0, 30, "flex", "crew", []), (30, 20, "buffer", "crew", []), (50, 10, "cue", "everyone", [0])]


def test_a_shift_is_taken_back_with_its_buffers() -> None:
    items = fill(wedding(), BUFFERED)
    writer = journal()
    before = [(i.start, i.minutes) for i in items]
    assert isinstance(act(writer, "timeline.shift", {"item": items[0].pk, "minutes": 30}), Stored)
    assert [(i.start, i.minutes) for i in RunSheetItem.objects.order_by("pk")] != before
    assert isinstance(act(writer, "timeline.restore", back_to(items)), Stored)
    assert [(i.start, i.minutes) for i in RunSheetItem.objects.order_by("pk")] == before
    assert all("planned" not in item for item in domain.items("w", VIEWS[Role.PLANNER]))


def test_what_somebody_has_changed_since_is_not_taken_back() -> None:
    items = fill(wedding(), BUFFERED)
    writer = journal()
    act(writer, "timeline.shift", {"item": items[0].pk, "minutes": 30})
    undo = back_to(items)
    act(writer, "timeline.shift", {"item": items[2].pk, "minutes": 5})
    after = list(RunSheetItem.objects.order_by("pk").values())
    refusal = act(writer, "timeline.restore", undo)
    assert isinstance(refusal, RealtimeError) and "item 2 was changed again" in refusal.message
    assert list(RunSheetItem.objects.order_by("pk").values()) == after


@pytest.mark.parametrize("start", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2027-06-12T12:00:00"])
def test_nothing_goes_back_to_a_moment_that_not_everybody_can_read(start: str) -> None:
    items = fill(wedding(), [(0, 30, "flex", "everyone", [])])
    undo = back_to(items)
    undo["items"][0]["start"] = start
    refusal = act(journal(), "timeline.restore", undo)
    assert isinstance(refusal, RealtimeError) and refusal.field == "data.items"


FAR = [
    ("an item goes too far", EARLIEST, LATEST - timedelta(hours=12), 30, "timeline.shift", 1_440),
    ("its end does", EARLIEST, LATEST - timedelta(hours=2), 60, "timeline.shift", 90),
    ("too early", EARLIEST + timedelta(hours=1), LATEST - timedelta(days=2), 30, "timeline.shift", -1_440),
    ("what follows would leave the calendar", EARLIEST, LATEST - timedelta(days=9), 30, "timeline.reorder", 0),
]


@pytest.mark.parametrize(("first", "last", "minutes", "kind", "how"), [far[1:] for far in FAR], ids=[far[0] for far in FAR])
def test_no_change_leads_to_a_moment_that_not_everybody_can_read(
    first: datetime, last: datetime, minutes: int, kind: str, how: int
) -> None:
    items = fill(wedding(), [(0, minutes, "flex", "everyone", []) for _ in range(3)])
    starts = dict(zip(items, (first, last, NOON + timedelta(days=365_000)), strict=True))
    for item, start in starts.items():
        item.start, item.depends_on = start, [items[0].pk] if item is items[2] else []
        item.save()
    before = list(RunSheetItem.objects.order_by("pk").values())
    named = items[0] if how <= 0 else items[1]
    command = {"item": named.pk} | ({"after": items[1].pk} if kind == "timeline.reorder" else {"minutes": how})
    refusal = act(journal(), kind, command)
    assert isinstance(refusal, RealtimeError) and (refusal.code, refusal.field) == ("refused", "data.item")
    assert list(RunSheetItem.objects.order_by("pk").values()) == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([EARLIEST, LATEST - timedelta(minutes=90)]), st.lists(st.integers(-1_440, 1_440), max_size=6))
def test_however_often_it_is_shifted_every_page_can_show_it(start: datetime, shifts: list[int]) -> None:
    Wedding.objects.all().delete()
    room = wedding()
    (item,) = fill(room, [(0, 90, "flex", "everyone", [])])
    RunSheetItem.objects.update(start=start)
    for minutes in shifts:
        act(journal(), "timeline.shift", {"item": item.pk, "minutes": minutes})
    for room.timezone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        for moment in room.window:
            assert 1970 <= moment.year <= 9999


DAY = 1_440
LINES = [(0, 30, "flex", "everyone", []), (60, 20, "buffer", "crew", []), (90, 10, "cue", "everyone", [0])]
CROOKED = {
    "before the days of the wedding": {"start": "1985-06-12T13:45:00Z"},
    "after them": {"start": "2027-06-27T00:00:00Z"},
    "no whole minute": {"start": "2027-06-12T12:00:17Z"},
    "a part of a second": {"start": "2027-06-12T12:00:00.123456Z"},
    "no time at all": {"minutes": 0},
}


@pytest.mark.parametrize("how", CROOKED.values(), ids=CROOKED)
def test_nothing_goes_back_to_what_a_run_sheet_may_not_have(how: dict[str, Any]) -> None:
    items = fill(wedding(), LINES)
    before = list(RunSheetItem.objects.order_by("pk").values())
    undo = back_to(items)
    undo["items"][0] |= how
    refusal = act(journal(), "timeline.restore", undo)
    assert isinstance(refusal, RealtimeError) and (refusal.code, refusal.field) == ("refused", "data.items")
    assert "item 0" in refusal.message
    assert list(RunSheetItem.objects.order_by("pk").values()) == before


def test_what_follows_does_not_leave_the_days_of_the_wedding() -> None:
    first, last = fill(wedding(), [(0, 30, "flex", "everyone", []), (13 * DAY, 20, "cue", "everyone", [0])])
    writer = journal()
    assert isinstance(act(writer, "timeline.shift", {"item": first.pk, "minutes": DAY}), Stored)
    refusal = act(writer, "timeline.shift", {"item": first.pk, "minutes": DAY})
    assert isinstance(refusal, RealtimeError) and "14 days" in refusal.message and last.title in refusal.message


@pytest.mark.parametrize(
    "was",
    [
        {"start": NOON + timedelta(days=30)},
        {"start": NOON + timedelta(seconds=17)},
        {"minutes": 0},
        {"minutes": 2 * MINUTES_MAX},
    ],
    ids=["another day", "no whole minute", "no time", "too long"],
)
def test_a_line_that_was_wrong_before_holds_nothing_up(was: dict[str, Any]) -> None:
    first, cue = fill(wedding(), [LINES[0], (90, 10, "cue", "everyone", [0])])
    RunSheetItem.objects.update(**was)
    items = list(RunSheetItem.objects.order_by("pk"))
    writer = journal()
    assert isinstance(act(writer, "timeline.shift", {"item": first.pk, "minutes": 5}), Stored)
    assert RunSheetItem.objects.get(pk=cue.pk).start == items[1].start + timedelta(minutes=5)
    if items[0].minutes <= MINUTES_MAX:  # more than that cannot be said
        assert isinstance(act(writer, "timeline.restore", back_to(items)), Stored)


def test_a_line_that_was_wrong_before_gets_no_worse() -> None:
    (item, *_) = fill(wedding(), LINES)
    RunSheetItem.objects.filter(pk=item.pk).update(start=NOON + timedelta(seconds=17))
    refusal = act(journal(), "timeline.restore", back_to([item]) | {"items": [back_to([item])["items"][0] | {"minutes": 0}]})
    assert isinstance(refusal, RealtimeError)


BACK = st.tuples(
    st.integers(0, 2), st.integers(-16 * DAY * 60, 16 * DAY * 60).map(lambda s: s - s % 30), st.integers(0, MINUTES_MAX)
)
MOVE = st.tuples(st.integers(0, 2), st.integers(-DAY, DAY))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(MOVE, BACK), max_size=20))
def test_whatever_is_moved_the_run_sheet_can_be_edited_and_its_export_comes_back(said: list[tuple[int, ...]]) -> None:
    Wedding.objects.all().delete()
    Room.objects.all().delete()
    room = wedding()
    items, writer = fill(room, LINES), journal()
    for n, much, *minutes in said:
        if minutes:
            version = RunSheetItem.objects.get(pk=items[n].pk).version
            start = (NOON + timedelta(seconds=much)).isoformat()
            back = {"item": items[n].pk, "version": version, "start": start, "minutes": minutes[0]}
            act(writer, "timeline.restore", {"items": [back]})
        else:
            act(writer, "timeline.shift", {"item": items[n].pk, "minutes": much})
    for item in room.items.all():
        item.full_clean()
    assert len(read(runsheet_csv(room), NOON.date(), room.zone)) == len(items)


def test_an_item_remembers_when_it_was_planned() -> None:
    items = fill(wedding(), [(0, 30, "flex", "everyone", [])])
    writer = journal()
    for minutes in (10, 5):
        act(writer, "timeline.shift", {"item": items[0].pk, "minutes": minutes})
    (told,) = domain.items("w", VIEWS[Role.GUEST])
    assert (told["planned"], told["start"]) == ("2027-06-12T12:00:00Z", "2027-06-12T12:15:00Z")


def test_a_preview_says_what_a_shift_would_do_and_does_nothing() -> None:
    items = fill(wedding(), [*BUFFERED, (60, 10, "anchor", "everyone", [2]), (70, 5, "cue", "planners", [2])])
    before = list(RunSheetItem.objects.order_by("pk").values())
    asked = Shift(items[0].pk, 30)
    seen = domain.preview("w", asked, PLANNER)
    assert list(RunSheetItem.objects.order_by("pk").values()) == before
    writer = journal()
    act(writer, "timeline.shift", {"item": items[0].pk, "minutes": 30})
    became = {i["id"]: (i["start"], i["minutes"]) for i in domain.items("w", VIEWS[Role.PLANNER])}
    assert {m["item"]: (m["start"], m["minutes"]) for m in seen["moves"]} == {
        i.pk: became[i.pk] for n, i in enumerate(items) if n != 3
    }
    assert seen["stays"] == [items[3].pk] and seen["absorbed"] == {str(items[1].pk): 20}
    assert [c["item"] for c in seen["conflicts"]] == [items[3].pk]


def test_a_preview_names_nothing_that_its_reader_may_not_know() -> None:
    items = fill(wedding(), [(0, 30, "flex", "crew", []), (30, 5, "cue", "planners", [0])])
    seen = domain.preview("w", Shift(items[0].pk, 10), Sender("m2", "vendor", "DJ"))
    assert [move["item"] for move in seen["moves"]] == [items[0].pk]
    with pytest.raises(RealtimeError, match="no such item"):
        domain.preview("w", Shift(items[1].pk, 10), Sender("m2", "vendor", "DJ"))


def test_a_new_run_sheet_is_the_new_plan() -> None:
    room = wedding()
    row = Row(2, NOON, 30, "Dinner", "", (), "flex", (), "")
    load(room, [row])
    writer = journal()
    act(writer, "timeline.shift", {"item": RunSheetItem.objects.get().pk, "minutes": 10})
    load(room, [replace(row, start=NOON + timedelta(days=1))])
    (told,) = domain.items("w", VIEWS[Role.GUEST])
    assert "planned" not in told
