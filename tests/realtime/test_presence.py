"""Who counts as here, and from when on somebody is gone."""

from __future__ import annotations

import pytest

from realtime.messages import Sender
from realtime.presence import Presence

ANN = Sender("rose.ann", "guest", "Ann")


@pytest.mark.parametrize(
    ("return_s", "gone_s"),
    [pytest.param(0.0, 5.0, id="grace"), pytest.param(0.5, 5.0, id="a short way"), pytest.param(3.0, 7.5, id="a storm")],
)
def test_who_was_given_time_for_the_way_back_is_not_gone_meanwhile(return_s: float, gone_s: float) -> None:
    presence = Presence(5.0, 25.0)
    assert presence.arrive(ANN)
    presence.depart(ANN, 100.0, on_purpose=False, return_s=return_s)
    assert presence.expire(100.0 + gone_s - 0.1) == []
    assert presence.expire(100.0 + gone_s) == [ANN]
    assert presence.arrive(ANN), "who comes later is news"


def test_who_comes_back_in_that_time_was_never_away() -> None:
    presence = Presence(5.0, 25.0)
    presence.arrive(ANN)
    presence.depart(ANN, 100.0, on_purpose=False, return_s=3.0)
    assert not presence.arrive(ANN)
    presence.depart(ANN, 110.0, on_purpose=True, return_s=3.0)
    assert presence.expire(110.0) == [ANN]
