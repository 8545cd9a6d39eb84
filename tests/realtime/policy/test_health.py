"""Who may get new sockets."""

from __future__ import annotations

import pytest

from realtime.policy.health import SILENT_S, Said, judge

HEARD = 0.01


def said(name: str, age_s: float = 0.2, **canaries: float | None) -> Said:
    return Said(name, "ready", "", age_s, canaries)


@pytest.mark.parametrize(
    ("workers", "states"),
    [
        pytest.param({"w1": said("a", a=HEARD, b=HEARD), "w2": said("b", a=HEARD, b=HEARD)}, "ready ready", id="all hear all"),
        pytest.param({"w1": said("a"), "w2": said("b")}, "ready ready", id="nothing measured yet"),
        pytest.param({"w1": said("a", a=None), "w2": said("b", b=HEARD)}, "lame ready", id="deaf from birth"),
        pytest.param({"w1": said("a", a=None, b=None), "w2": said("b", a=HEARD, b=HEARD)}, "lame ready", id="deaf"),
        pytest.param({"w1": said("a", a=None, b=HEARD), "w2": said("b", a=None, b=HEARD)}, "lame ready", id="mute"),
        pytest.param({"w1": said("a", a=None, b=None), "w2": said("b", a=None, b=None)}, "ready ready", id="Redis is gone"),
        pytest.param({"w1": said("a", SILENT_S + 0.1, a=HEARD), "w2": said("b", a=None, b=HEARD)}, "lame ready", id="silent"),
        pytest.param({"w1": said("a", a=None, b=HEARD), "w2": said("b", a=None, b=None)}, "ready ready", id="a mute, b deaf"),
        pytest.param({"w1": Said("a", "draining", "deploy", 0.1), "w2": said("b", b=HEARD)}, "draining ready", id="draining"),
    ],
)
def test_health_is_a_message_that_got_through(workers: dict[str, Said], states: str) -> None:
    judged = judge(workers)
    assert " ".join(judged[slot][0] for slot in workers) == states
    assert all(reason for state, reason in judged.values() if state != "ready")
