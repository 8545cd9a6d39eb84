"""What is written down of a play."""

from __future__ import annotations

import pytest
from msgspec import Raw

from realtime.client_events import CaughtUp, Closed, Received, Settled, Via
from realtime.drills.course import Moment
from realtime.drills.history import History, Recorder
from realtime.kinds import Priority
from realtime.messages import Error, Pub, Sender
from realtime.saying import LOST
from tests.fakes import START, ManualClock


def test_others_are_those_who_are_connected_from_the_intended_moment_on() -> None:
    history, clock = History(), ManualClock()
    author, reader = (Recorder(history, history.watch("rose", name, "guest"), clock) for name in ("rose.guest0", "rose.guest1"))
    history.course.begin(0.0)
    history.course.moments.append(Moment(0.0, "injection", "x"))

    def say(id: str, intended_s: float) -> None:
        history.sent("rose", "rose.guest0", id, "chat.guests", intended_s)
        sender = Sender("rose.guest0", "guest")
        reader(Received(Pub("chat.guests", id, sender, START, Raw(b"{}"), offset=1), Via.LIVE))

    def others() -> int:
        return history.course.others((Priority.P2,)).count

    back = CaughtUp(0, True, [])
    author(back)
    clock.elapsed_s = 2.0
    reader(back)
    say("before the reader was back", 1.0)
    assert others() == 0
    say("both were there", 2.0)
    assert others() == 1
    author(Closed(1006, "", 0.5))
    say("its author is away", 2.5)
    assert others() == 1
    clock.elapsed_s = 3.0
    author(back)
    say("it was said again after its author came back", 2.8)
    assert others() == 1


@pytest.mark.parametrize(("code", "answered"), [("forbidden", True), (LOST, False)])
def test_only_the_server_answers(code: str, answered: bool) -> None:
    history = History()
    speaker = Recorder(history, history.watch("rose", "rose.guest0", "guest"), ManualClock())
    history.sent("rose", "rose.guest0", "a", "chat.guests", 0.0)
    speaker(Settled("a", Error(code, "no", "a")))
    (message,) = history.messages
    assert (message.answered, bool(message.refused)) == (answered, answered)
