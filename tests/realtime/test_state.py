"""The reduced state of a room does not depend on doubles, on order, or on how much of it came as a snapshot."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from realtime.client_events import Confirmed, Received, Via
from realtime.messages import Pub, Sender, Snapshot, encode
from realtime.state import RECENT_MAX, RoomState
from tests.fakes import START

NOW = START
PLANNER = Sender("pl", "planner")
VENDOR = Sender("ve", "vendor")


def raw(value: object) -> Raw:
    return Raw(encode(value))


def pub(offset: int, kind: str, data: object, sender: Sender = PLANNER, id: str = "", **more: Any) -> Pub:
    return Pub(
        kind=kind, id=id or f"p{offset}", sender=sender, at=START, data=raw(data), offset=offset, prev=offset - 1, **more
    )


def chat(offset: int, sender: Sender = PLANNER, **more: Any) -> Pub:
    return pub(offset, "chat.crew", {"text": f"t{offset}"}, sender, **more)


def arrived(offset: int, vendor: str, status: str) -> Pub:
    return pub(offset, "vendor.status", {"vendor": vendor, "status": status})


def items(offset: int, *changed: tuple[int, int], removed: tuple[int, ...] = ()) -> Pub:
    rows = [{"id": id, "version": version, "title": f"{id}.{version}"} for id, version in changed]
    return pub(offset, "timeline.items", {"items": rows, "removed": list(removed)})


def after(*pubs: Pub) -> RoomState:
    state = RoomState()
    for one in pubs:
        state.take(one)
    return state


LOG = [
    items(1, (1, 1), (2, 1)),
    arrived(2, "DJ", "en_route"),
    chat(3),
    items(4, (1, 2)),
    arrived(5, "DJ", "on_site"),
    arrived(6, "Cake", "delayed"),
    items(7, removed=(2,)),
    chat(8, VENDOR),
    pub(9, "chat.crew", {"text": "better"}, VENDOR, replaces="p8"),
    pub(10, "timeline.shift", {"item": 1, "minutes": 5}, result=raw({"items": [{"id": 1, "version": 3, "title": "1.3"}]})),
    items(11, (2, 4)),
    pub(12, "vendor.status", {"vendor": "Cake", "status": "on_site"}, replaces="p6"),
]


def test_the_state_after_a_log() -> None:
    state = after(*LOG).as_json(NOW)
    assert {id: item["title"] for id, item in state["items"].items()} == {"1": "1.3", "2": "2.4"}
    assert {name: entry["offset"] for name, entry in state["latest"].items()} == {
        "vendor.status DJ": 5,
        "vendor.status Cake": 12,
    }
    assert [entry["offset"] for entry in state["recent"]] == [3, 9]


@given(st.permutations(LOG), st.lists(st.sampled_from(LOG), max_size=10))
def test_order_and_doubles_make_no_difference(shuffled: list[Pub], doubles: list[Pub]) -> None:
    assert after(*shuffled, *doubles).as_json(NOW) == after(*LOG).as_json(NOW)


@given(st.integers(0, len(LOG)))
def test_a_snapshot_and_the_rest_are_the_same_as_everything(cut: int) -> None:
    before = after(*LOG[:cut])
    snapshot = Snapshot(
        offset=cut,
        items=list(before.items.values()),
        latest=[raw(one) for one in before.latest.values()],
        recent=[raw(one) for kind in before.recent.values() for one in kind.values()],
    )
    newcomer = RoomState()
    newcomer.restore(snapshot)
    for one in LOG[cut:]:
        newcomer.take(one)
    assert newcomer.as_json(NOW) == after(*LOG).as_json(NOW)


def test_items_of_a_snapshot_may_be_newer_than_its_offset() -> None:
    state = RoomState()
    state.restore(Snapshot(3, [{"id": 1, "version": 9}], [], []))
    state.take(items(4, (1, 8)))
    assert state.items[1]["version"] == 9


def test_the_public_form_of_the_same_version_does_not_replace_the_full_one() -> None:
    state = after(pub(1, "timeline.items", {"items": [{"id": 1, "version": 2, "who": ["DJ"]}]}))
    state.take(pub(2, "timeline.items", {"items": [{"id": 1, "version": 2}]}))
    assert state.items[1]["who"] == ["DJ"]


def test_what_has_expired_is_left_out() -> None:
    state = after(chat(1, expires_at=START + timedelta(seconds=10)), chat(2))
    assert len(state.as_json(NOW)["recent"]) == 2
    assert [entry["offset"] for entry in state.as_json(NOW + timedelta(seconds=10))["recent"]] == [2]


def test_a_replaced_newest_does_not_bring_the_older_one_back() -> None:
    gone = pub(4, "vendor.status", {"vendor": "Band", "status": "delayed"}, replaces="p3")
    state = after(arrived(2, "DJ", "en_route"), arrived(3, "DJ", "on_site"), gone)
    assert set(state.as_json(NOW)["latest"]) == {"vendor.status Band"}


def test_nobody_but_a_planner_replaces_what_others_said() -> None:
    assert len(after(chat(1), pub(2, "chat.crew", {"text": "x"}, VENDOR, replaces="p1")).recent["chat.crew"]) == 2
    assert len(after(chat(1, VENDOR), pub(2, "chat.crew", {"text": "x"}, PLANNER, replaces="p1")).recent["chat.crew"]) == 1


def test_only_so_many_are_kept_of_each_kind() -> None:
    state = after(*(chat(n) for n in range(1, 3 * RECENT_MAX)))
    assert sorted(state.recent["chat.crew"]) == list(range(2 * RECENT_MAX, 3 * RECENT_MAX))


def test_an_emergency_that_went_ahead_gets_its_place() -> None:
    data = {"alert": "a1", "category": "fire", "text": "out"}
    state = RoomState()
    state.apply(Received(pub(0, "emergency.alert", data, id="x", provisional=True), Via.PROVISIONAL))
    assert list(state.provisional) == [("pl", "x")]
    state.apply(Confirmed(pub(4, "emergency.alert", data, id="x")))
    assert not state.provisional
    assert msgspec.json.decode(state.latest["emergency.alert", "a1"].data) == data
