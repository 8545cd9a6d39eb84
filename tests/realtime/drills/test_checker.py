"""A right history passes; every way of breaking it is found and named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.client_events import Via
from realtime.drills.checker import behind, check, last_acknowledged
from realtime.drills.history import CONFIRMED, History
from realtime.histogram import Histogram
from tests.realtime.drills.histories import ROOM, play, rebuilt

SAID = ("chat.crew", "chat.guests", "guest.checkin", "vendor.status", "emergency.alert")


def names(history: History) -> set[str]:
    return {violation.name for violation in check(history).violations}


kinds_said = st.lists(st.sampled_from(SAID), min_size=3, max_size=20)


@given(kinds_said, st.lists(st.integers(0, 20), min_size=4, max_size=4))
def test_a_right_history_passes(kinds: list[str], joined_at: list[int]) -> None:
    history = play(kinds, [min(at, len(kinds)) for at in joined_at])
    report = check(history)
    assert report.violations == []
    assert report.unanswered == 0
    assert list(behind(history, last_acknowledged(history))) == []


@given(kinds_said, st.data())
def test_a_dropped_publication_is_lost(kinds: list[str], data: st.DataObject) -> None:
    history = play(kinds)
    at = data.draw(st.integers(0, len(kinds) - 1))
    rebuilt(history.members[0], lambda rows: rows[:at] + rows[at + 1 :])
    assert check(history).count("lost") == 1
    lost = next(v for v in check(history).violations if v.name == "lost")
    assert f"id{at + 1}" in lost.first[0]
    assert at == len(kinds) - 1 or "hole" in names(history)


@given(kinds_said, st.data())
def test_a_doubled_publication_is_shown_twice(kinds: list[str], data: st.DataObject) -> None:
    history = play(kinds)
    at = data.draw(st.integers(0, len(kinds) - 1))
    rebuilt(history.members[0], lambda rows: [*rows[: at + 1], rows[at], *rows[at + 1 :]])
    assert names(history) == {"twice"}


@given(kinds_said, st.data())
def test_swapped_publications_are_out_of_order(kinds: list[str], data: st.DataObject) -> None:
    history = play(kinds)
    at = data.draw(st.integers(0, len(kinds) - 2))
    rebuilt(history.members[0], lambda rows: [*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]])
    assert check(history).count("out_of_order") == 1


@given(kinds_said.filter(lambda kinds: "chat.crew" in kinds))
def test_a_leaked_publication_is_named(kinds: list[str]) -> None:
    history = play(kinds)
    at = kinds.index("chat.crew")
    guest = history.members[2]
    ref = history.ref(ROOM, "planner-0", f"id{at + 1}", "chat.crew")
    rebuilt(guest, lambda rows: sorted([*rows, (ref, at + 1, 0, int(Via.LIVE))], key=lambda row: row[1]))
    assert "leaked" in names(history)
    assert "guest-2 (guest)" in next(v for v in check(history).violations if v.name == "leaked").first[0]


def test_what_nobody_sent_is_a_phantom() -> None:
    history = play(["chat.crew"])
    history.members[0].sight(history.ref(ROOM, "stranger", "x", "chat.crew"), 2, 1, Via.LIVE)
    assert names(history) == {"phantom"}


def test_what_was_refused_and_is_seen_is_a_phantom() -> None:
    history = play(["chat.crew"])
    history.sent(ROOM, "planner-0", "no", "chat.crew", 2.0)
    history.answered(ROOM, "planner-0", "no", refused="forbidden")
    assert check(history).violations == []
    history.members[0].sight(history.ref(ROOM, "planner-0", "no", "chat.crew"), 2, 1, Via.LIVE)
    assert names(history) == {"phantom"}


def test_what_the_server_makes_is_no_phantom() -> None:
    history = play(["chat.crew"])
    for _ in range(2):
        history.members[0].sight(history.ref(ROOM, "vendor-1", "", "presence"), 0, 0, Via.LIVE)
    history.members[0].sight(history.ref(ROOM, "planner-0", "id1~127", "timeline.items"), 2, 1, Via.LIVE)
    assert check(history).violations == []


def test_one_publication_with_two_offsets_was_stored_twice() -> None:
    history = play(["chat.crew", "chat.crew"])
    history.members[0].sight(history.ref(ROOM, "planner-0", "id2", "chat.crew"), 3, 2, CONFIRMED)
    assert "stored_twice" in names(history)


def test_an_emergency_that_went_ahead_is_shown_once() -> None:
    history = play(["chat.crew"])
    history.sent(ROOM, "planner-0", "sos", "emergency.alert", 2.0)
    history.answered(ROOM, "planner-0", "sos", offset=2)
    for seen in history.members:
        ref = history.ref(ROOM, "planner-0", "sos", "emergency.alert")
        seen.sight(ref, 0, 0, Via.PROVISIONAL)
        seen.sight(ref, 2, seen.position, CONFIRMED)
    assert check(history).violations == []


def test_who_left_or_is_behind_has_lost_nothing() -> None:
    history = play(["chat.crew"] * 3)
    gone, late = history.members[0], history.members[1]
    for seen in (gone, late):
        rebuilt(seen, lambda rows: rows[:1])
        del seen.marks[1:]
    gone.left, late.position = True, 1
    assert check(history).violations == []
    assert list(behind(history, last_acknowledged(history))) == [late]


def test_what_may_vanish_is_not_lost() -> None:
    history = play(["chat.crew"] * 3)
    history.messages[1].vanishes = True
    rebuilt(history.members[0], lambda rows: [rows[0], (*rows[2][:2], 1, rows[2][3])])
    assert check(history).violations == []


@pytest.mark.parametrize(
    ("role", "item", "leaks"),
    [
        ("guest", {"id": 1, "title": "x"}, False),
        ("guest", {"id": 1, "notes": "secret"}, True),
        ("display", {"id": 1, "who": ["DJ"]}, True),
        ("vendor", {"id": 1, "who": ["DJ"], "visibility": "crew"}, False),
        ("guest", {"id": 1, "visibility": "crew"}, True),
        ("vendor", {"id": 1, "visibility": "planners"}, True),
        ("couple", {"id": 1, "visibility": "planners"}, False),
    ],
)
def test_run_sheet_items_are_for_those_who_may_see_them(role: str, item: dict[str, object], leaks: bool) -> None:
    history = History()
    history.watch(ROOM, "m", role).exposed([item])
    assert names(history) == ({"leaked"} if leaks else set())


def test_ephemeral_traffic_is_counted_and_only_promised_when_asked() -> None:
    history = play([])
    history.sent(ROOM, "guest-2", "r1", "reaction", 5.0)
    for seen in history.members:
        seen.spans.append((0.0, 10.0))
    history.members[0].sight(history.ref(ROOM, "guest-2", "r1", "reaction"), 0, 0, Via.LIVE)
    report = check(history)
    assert (report.ephemeral_delivered, report.ephemeral_expected, report.violations) == (1, 3, [])
    assert check(history, strict_ephemeral=True).count("lost") == 2


@given(st.lists(st.floats(1e-5, 50), min_size=1, max_size=200))
def test_quantiles_are_within_the_width_of_a_bucket(seconds: list[float]) -> None:
    latencies = Histogram()
    for one in seconds:
        latencies.record(one)
    exact_ms = sorted(seconds)[-1] * 1_000
    assert latencies.quantile_ms(1.0) == pytest.approx(exact_ms, rel=0.03)
    assert Histogram().quantile_ms(0.99) is None
