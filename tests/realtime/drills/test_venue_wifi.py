"""Who is at the venue."""

from __future__ import annotations

import pytest

from realtime.drills.venue_wifi import VENUE, venue_of
from realtime.drills.workloads import PROFILES, RoomPlan, rooms


@pytest.mark.parametrize("connections", [20, 200, 400, 1_000])
def test_half_of_all_at_the_most_and_the_largest_wedding_first(connections: int) -> None:
    plan = rooms(PROFILES["sat-june-10k"], connections)
    venue = venue_of(plan)
    assert len(venue) == min(VENUE, connections // 2)
    largest = max(range(len(plan)), key=lambda n: len(plan[n].roles))
    assert sum(n == largest for n, _ in venue) == min(len(plan[largest].roles), len(venue))


def test_planners_are_among_them() -> None:
    assert (0, 0) in venue_of([RoomPlan("a", ("planner", "guest", "guest", "guest"))])
