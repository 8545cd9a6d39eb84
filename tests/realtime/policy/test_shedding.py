"""What a process that cannot keep up does without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.kinds import KINDS, Priority
from realtime.policy.shedding import LEVEL_MAX, LEVELS, sheds
from realtime.roles import Role

CASES = [
    (0, Role.GUEST, "reaction", False),
    (1, Role.GUEST, "reaction", True),
    (1, Role.GUEST, "photo.new", False),
    (2, Role.GUEST, "photo.new", True),
    (2, Role.DISPLAY, "guest.checkin", False),
    (2, Role.GUEST, "chat.guests", False),
    (3, Role.GUEST, "chat.guests", True),
    (3, Role.VENDOR, "typing", True),
    (3, Role.VENDOR, "chat.crew", False),
    (3, Role.VENDOR, "vendor.status", False),
    (3, Role.PLANNER, "typing", False),
]


@pytest.mark.parametrize(("level", "role", "kind", "expected"), CASES)
def test_who_gives_way_first(level: int, role: Role, kind: str, expected: bool) -> None:
    assert sheds(level, role, KINDS[kind]) is expected


@given(st.integers(0, LEVEL_MAX), st.sampled_from(list(Role)), st.sampled_from(sorted(KINDS)))
def test_what_is_urgent_is_never_shed_and_a_higher_level_sheds_no_less(level: int, role: Role, name: str) -> None:
    kind = KINDS[name]
    shed = sheds(level, role, kind)
    assert not (shed and kind.priority <= Priority.P1)
    assert not shed or all(sheds(higher, role, kind) for higher in range(level, LEVEL_MAX + 1))


def test_every_level_has_words() -> None:
    assert len(LEVELS) == LEVEL_MAX + 1 and not LEVELS[0] and all(LEVELS[1:])
