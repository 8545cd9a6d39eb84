"""Half of the wedding is on another worker, wherever the members were put when they came."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.drills.redis_slow import RedisSlowDrill
from tests.realtime.drills.test_promises import made


@pytest.mark.parametrize(("first", "other", "dropped"), [(200, 0, 100), (130, 70, 30), (100, 100, 0), (90, 110, 0)])
def test_only_so_many_are_sent_there_as_are_missing(first: int, other: int, dropped: int) -> None:
    drill = made(RedisSlowDrill)
    clients: list[Any] = [object() for _ in range(first + other)]
    drill.clients = [clients]
    drill._processes = {(0, m): "w2" if m < other else "w1" for m in range(len(clients))}
    assert drill._to_drop("w2", 100) == clients[other : other + dropped]
