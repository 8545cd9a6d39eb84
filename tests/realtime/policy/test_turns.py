"""What one connection says is stored in the order in which it was said, whatever is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import JournalUnavailable, Overloaded, RateLimited, RealtimeError
from realtime.policy.resending import IN_FLIGHT_MAX, Outbox
from realtime.policy.turns import AGAIN_MS, PATIENCE_S, Turns


def refused(*ids: str, error: type[RealtimeError] = RateLimited, after_ms: int = 2_000) -> Turns:
    turns = Turns()
    for place, id in enumerate(ids, 1):
        turns.refused(id, place, error(retry_after_ms=after_ms), 0.0)
    return turns


@pytest.mark.parametrize("error", [RateLimited, JournalUnavailable, Overloaded])
def test_what_was_said_later_waits_for_what_was_refused_as_long_as_that(error: type[RealtimeError]) -> None:
    turns = refused("a", error=error)
    _, early = turns.take("b", 2, 0.5)
    assert type(early) is error and early.retry_after_ms == 1_500
    assert turns.take("a", 3, 2.0) == (1, None), "it keeps its place"
    assert turns and turns.take("b", 4, 2.1) == (2, None)
    assert not turns and turns.take("c", 5, 2.2) == (5, None)


def test_what_was_refused_late_but_said_first_goes_first() -> None:
    turns = refused("a")
    turns.refused("before", 0, JournalUnavailable(retry_after_ms=1_000), 0.1)
    assert turns.take("a", 7, 3.0)[1] is not None
    assert turns.take("before", 8, 3.1) == (0, None) and turns.take("a", 9, 3.2) == (1, None)


def test_a_client_that_gave_something_up_goes_on_after_a_while_and_does_not_ask_all_the_time() -> None:
    turns = refused("a")
    _, early = turns.take("b", 2, 5.0)
    assert early is not None and early.retry_after_ms == AGAIN_MS
    assert turns.take("b", 3, 2.0 + PATIENCE_S + 0.1) == (3, None)


def test_who_has_said_more_than_is_ever_in_flight_has_given_up_what_was_refused() -> None:
    turns = refused("a")
    early = [turns.take(f"b{n}", 2 + n, 0.1)[1] is not None for n in range(IN_FLIGHT_MAX)]
    assert early == [True] * (IN_FLIGHT_MAX - 1) + [False]
    assert not turns, "and nothing is waited for"


@given(st.lists(st.sampled_from(["store", "rate", "down", "say"]), max_size=80), st.integers(1, 40))
def test_a_client_that_follows_the_protocol_is_stored_in_order(steps: list[Any], count: int) -> None:
    """The server answers what is on the wire in turn; `rate` and `down` refuse, at once or after others were handed on."""
    outbox, turns, stored, wire, committing, now_s, place = Outbox(), Turns(), [], [], [], 0.0, 0
    for n in range(count):
        outbox.add(f"{n}", b"%d" % n)
    for step in [*steps, *["say", "store"] * 200]:
        now_s += 0.3
        wire += [text.decode() for text in outbox.take(now_s)]
        if step == "say" and wire:
            place += 1
            id = wire.pop(0)
            known, early = turns.take(id, place, now_s)
            if early is None:
                committing.append((id, known))
            else:
                outbox.postpone(id, now_s + early.retry_after_ms / 1_000)
        elif step == "store" and committing:
            id, _ = committing.pop(0)
            stored.append(int(id))
            outbox.settle(id)
        elif step == "down" or (step == "rate" and committing):
            lost, committing = committing if step == "down" else committing[-1:], committing[:-1] if step == "rate" else []
            for id, known in lost:
                turns.refused(id, known, JournalUnavailable(retry_after_ms=1_000), now_s)
                outbox.postpone(id, now_s + 1.0)
    assert stored == list(range(count))
