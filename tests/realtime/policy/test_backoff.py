"""Reconnection delays are spread, grow and end at the cap."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.policy.backoff import reconnect_delay_s


@given(st.integers(-5, 10**6), st.integers(), st.floats(0.01, 10), st.floats(0.01, 100))
def test_never_negative_and_never_beyond_the_cap(attempt: int, seed: int, base_s: float, cap_s: float) -> None:
    assert 0 <= reconnect_delay_s(attempt, random.Random(seed), base_s, cap_s) <= cap_s


@pytest.mark.parametrize(("attempt", "limit_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (6, 20.0), (60, 20.0)])
def test_the_whole_range_is_used(attempt: int, limit_s: float) -> None:
    rng = random.Random(1)
    delays = [reconnect_delay_s(attempt, rng) for _ in range(2_000)]
    assert max(delays) <= limit_s
    assert max(delays) > 0.95 * limit_s
    assert min(delays) < 0.05 * limit_s
    assert sum(delays) / len(delays) == pytest.approx(limit_s / 2, rel=0.1)
