"""Who counts as here, and from when on somebody is gone."""

from __future__ import annotations

import pytest

from realtime.messages import Sender
from realtime.presence import Presence

ANN, BEN = Sender("rose.ann", "guest", "Ann"), Sender("rose.ben", "vendor", "Ben")


@pytest.mark.parametrize(
    ("return_s", "gone_s"),
    [pytest.param(0.0, 5.0, id="grace"), pytest.param(0.5, 5.0, id="a short way"), pytest.param(3.0, 7.5, id="a storm")],
)
def test_who_was_given_time_for_the_way_back_is_not_gone_meanwhile(return_s: float, gone_s: float) -> None:
    presence = Presence(5.0, 25.0)
    assert presence.arrive(ANN)
    presence.depart(ANN, 100.0, on_purpose=False, return_s=return_s)
    assert presence.expire(100.0 + gone_s - 0.1) == ([], [])
    assert presence.expire(100.0 + gone_s) == ([ANN], [])
    assert presence.arrive(ANN), "who comes later is news"


def test_who_comes_back_in_that_time_was_never_away() -> None:
    presence = Presence(5.0, 25.0)
    presence.arrive(ANN)
    presence.depart(ANN, 100.0, on_purpose=False, return_s=3.0)
    assert not presence.arrive(ANN)
    presence.depart(ANN, 110.0, on_purpose=True, return_s=3.0)
    assert presence.expire(110.0) == ([ANN], [])


def test_of_who_is_on_several_processes_only_the_first_and_the_last_are_news() -> None:
    presence = Presence(5.0, 25.0)
    assert presence.merge("b", [ANN, BEN], 0.0) == ([ANN, BEN], [])
    assert presence.merge("c", [ANN], 0.0) == ([], [])
    assert not presence.arrive(BEN)
    assert presence.merge("b", [], 1.0) == ([], [])
    assert presence.merge("c", [], 1.0) == ([], [ANN])
    presence.depart(BEN, 1.0, on_purpose=True)
    assert presence.expire(1.0) == ([BEN], [])


def test_who_was_on_a_process_that_is_silent_is_gone_with_it() -> None:
    presence = Presence(5.0, 25.0)
    presence.merge("b", [ANN, BEN], 0.0)
    presence.merge("c", [BEN], 10.0)
    assert presence.expire(24.9) == ([], [])
    assert presence.expire(25.0) == ([], [ANN])
    presence.arrive(BEN)
    presence.depart(BEN, 30.0, on_purpose=True)
    assert presence.expire(30.0) == ([], []), "c may hold him"
    assert presence.expire(35.0) == ([], [BEN])
