"""The profiles are those of ops.md 1.4, and a schedule is valid, in order and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from realtime.drills.workloads import BURST_SHARE, MIXES, PROFILES, mix, publishes_per_s, rooms, schedule
from realtime.kinds import KINDS, decode_data
from realtime.messages import encode
from realtime.roles import ROLES

# ops.md 1.4: publishes per second of 217 weddings, burst, without what the server makes itself (digest, presence).
TABLE_BURST = {"guest.checkin": 6.7, "chat.crew": 3.1, "chat.guests": 2.7, "photo.new": 37.2, "reaction": 111.5}


@pytest.mark.parametrize("connections", [2, 5, 12, 13, 20, 50, 100, 300, 1_000, 1_234, 10_000, 100_000])
def test_there_are_as_many_members_as_asked_for(connections: int) -> None:
    plan = rooms(PROFILES["sat-june-10k"], connections)
    assert sum(len(room.roles) for room in plan) == connections
    assert all(room.roles[0] == "planner" for room in plan)
    assert len({room.name for room in plan}) == len(plan)


def test_ten_thousand_are_mixed_as_in_the_table() -> None:
    sizes = Counter(len(room.roles) for room in rooms(PROFILES["sat-june-10k"], 10_000))
    for size, expected in {12: 31, 27: 62, 46: 62, 82: 41, 165: 10}.items():
        assert sizes[size] == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("size", sorted(MIXES))
def test_a_mix_has_everybody(size: int) -> None:
    assert len(mix(size)) == size
    assert Counter(mix(46)) == {"planner": 3, "couple": 4, "vendor": 9, "guest": 28, "display": 2}


def test_rates_are_those_of_the_table() -> None:
    profile = replace(PROFILES["sat-june-10k"], peak_share=BURST_SHARE)
    rates = publishes_per_s(profile, rooms(profile, 10_000))
    for kind, per_s in TABLE_BURST.items():
        assert rates[kind] == pytest.approx(per_s, rel=0.1), kind
    assert sum(rates.values()) == pytest.approx(218 - 43, rel=0.1), "the table's total without presence"
    ten = publishes_per_s(replace(PROFILES["sat-june-10k-x10"], peak_share=BURST_SHARE), rooms(profile, 10_000))
    assert sum(ten.values()) == pytest.approx(10 * sum(rates.values()))


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_schedule_is_valid(name: str) -> None:
    profile = replace(PROFILES[name], peak_share=BURST_SHARE)
    plan = rooms(profile, min(profile.connections, 500))
    last_s = 0.0
    for planned in schedule(profile, plan, 20.0, 7):
        assert last_s <= planned.t_s < 20.0
        last_s = planned.t_s
        role = plan[planned.room].roles[planned.member]
        if planned.kind:
            kind = KINDS[planned.kind]
            assert kind.publishers & ROLES[role], f"a {role} may not say {kind.name}"
            decode_data(kind, encode(planned.data))
            assert len(encode(planned.data)) <= 1_000


def test_as_much_is_said_as_expected() -> None:
    profile = PROFILES["sat-june-10k-x10"]
    plan = rooms(profile, 5_000)
    said = Counter(planned.kind for planned in schedule(profile, plan, 60.0, 1))
    churn = said.pop("")
    assert said.total() == pytest.approx(60 * sum(publishes_per_s(profile, plan).values()), rel=0.05)
    assert churn == pytest.approx(60 * 5_000 * profile.churn_per_s, rel=0.15)


def test_the_same_seed_says_the_same() -> None:
    profile = PROFILES["sat-june-10k-x10"]
    plan = rooms(profile, 300)
    first, again, other = (list(schedule(profile, plan, 5.0, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first


def test_commands_name_items_of_their_room() -> None:
    profile = PROFILES["sat-june-10k-x10"]
    plan = rooms(profile, 100)
    items = [[100 * n, 100 * n + 1] for n in range(len(plan))]
    acts = [p for p in schedule(profile, plan, 600.0, 1, items) if p.kind and KINDS[p.kind].acts]
    assert acts
    assert all(p.data["item"] in items[p.room] for p in acts)
    assert all(p.data["item"] == items[p.room][0] for p in acts if p.kind == "cue.go")


def test_one_person_is_no_room() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        rooms(PROFILES["quiet"], 1)


def test_a_few_weddings_stand_beside_the_huge_room_when_there_are_enough_people() -> None:
    profile = PROFILES["megaroom-and-others"]
    assert [len(room.roles) for room in rooms(profile, 2_000)] == [1_915, 46, 27, 12]
    assert [len(room.roles) for room in rooms(profile, 100)] == [100]
