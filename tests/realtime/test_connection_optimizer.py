"""How one connection is served, from what was measured on it and what its client told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.config import RealtimeConfig
from realtime.connection_optimizer import CROWDED, UNCROWDED, ConnectionOptimizer, ConnectionStats, Told
from realtime.link import Link
from realtime.roles import Role

CONFIG = RealtimeConfig()
OPTIMIZER = ConnectionOptimizer(CONFIG)


def link(rtt_ms: float = 20, unacked_bytes: int = 0) -> Link:
    return Link(rtt_ms / 1_000, 0.005, unacked_bytes, 0, 0)


SPARING = [
    (Told(visible=False), link(), "the page is hidden"),
    (Told(save_data=True), link(), "the phone saves data"),
    (Told(effective="2g"), None, "the phone says 2g"),
    (Told(), link(900), "round trip 900 ms"),
    (Told(), link(20, 100_000), "97 KiB not acknowledged"),
]


@pytest.mark.parametrize(("told", "measured", "reason"), SPARING, ids=[case[2] for case in SPARING])
def test_one_in_trouble_is_served_sparingly_and_hears_why(told: Told, measured: Link | None, reason: str) -> None:
    plan = OPTIMIZER.plan(ConnectionStats(Role.GUEST, told, measured))
    assert plan.light and plan.batch_s > 0 and plan.reason == reason


def test_the_usual_connection_waits_for_nothing() -> None:
    plan = OPTIMIZER.plan(ConnectionStats(Role.GUEST, Told(), link()))
    assert (plan.light, plan.batch_s, plan.heartbeat_s, plan.reason) == (False, 0.0, 25.0, "usual")


def test_what_was_not_measured_is_no_reason() -> None:
    assert not OPTIMIZER.plan(ConnectionStats(Role.GUEST)).light


def test_planners_learn_within_seconds_that_they_are_cut_off_whatever_their_phone_says() -> None:
    assert OPTIMIZER.plan(ConnectionStats(Role.PLANNER, Told(visible=False))).heartbeat_s == CONFIG.planner_heartbeat_s
    assert OPTIMIZER.plan(ConnectionStats(Role.GUEST, Told(visible=False))).heartbeat_s > CONFIG.heartbeat_s


def test_a_crowded_process_asks_for_fewer_heartbeats_and_does_not_change_its_mind_at_each_arrival() -> None:
    optimizer = ConnectionOptimizer(CONFIG)
    told = []
    for connections in (CROWDED, CROWDED + 1, UNCROWDED + 1, UNCROWDED, CROWDED):
        optimizer.serve(connections)
        plans = [optimizer.plan(ConnectionStats(role)) for role in (Role.PLANNER, Role.GUEST)]
        assert not any(plan.light for plan in plans)
        told.append([plan.heartbeat_s for plan in plans])
    usual, rare = [2.0, 25.0], [4.0, 50.0]
    assert told == [usual, rare, rare, usual, usual]


@pytest.mark.parametrize(
    ("lost", "sent", "light", "sparing"),
    [
        (34, 5_000, False, False),  # probes for a tail that was not lost, to one who is sent much
        (3, 10, False, False),
        (12, 400, False, True),
        (6, 400, False, False),
        (6, 400, True, True),
    ],
)
def test_what_is_lost_counts_by_what_was_sent(lost: int, sent: int, light: bool, sparing: bool) -> None:
    plan = OPTIMIZER.plan(ConnectionStats(Role.GUEST, Told(), link(), lost, sent, light=light))
    assert plan.light is sparing and (not sparing or plan.reason == f"{lost} of {sent} segments lost")


def test_a_plan_does_not_flicker_with_its_cause() -> None:
    between = link(300)
    for light in (False, True):
        assert OPTIMIZER.plan(ConnectionStats(Role.GUEST, Told(), between, light=light)).light is light


def test_the_crew_may_be_further_behind() -> None:
    crew, guest = (OPTIMIZER.plan(ConnectionStats(role)).window_bytes for role in (Role.VENDOR, Role.GUEST))
    assert crew == CONFIG.outbox_bytes > guest == CONFIG.guest_outbox_bytes


STATS = st.builds(
    ConnectionStats,
    st.sampled_from(list(Role)),
    st.builds(Told, st.booleans(), st.booleans(), st.sampled_from(["slow-2g", "2g", "3g", "4g"])),
    st.none() | st.builds(Link, st.floats(0, 30), st.floats(0, 9), st.integers(0, 1 << 30), st.just(0), st.just(0)),
    st.integers(0, 1_000),
    st.integers(0, 9_000),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(STATS)
def test_compression_only_for_those_who_take_it_and_a_reason_for_every_plan(stats: ConnectionStats) -> None:
    plan = OPTIMIZER.plan(stats)
    assert (plan.encoding == "deflate") == stats.deflate and plan.reason and plan.heartbeat_s > 0
    assert plan.light == (plan.reason != "usual") and OPTIMIZER.plan(stats) == plan
