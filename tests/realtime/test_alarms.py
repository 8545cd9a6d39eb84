"""Which emergencies of a room are not over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.alarms import ALARMS_MAX, Alarms
from realtime.messages import Sender, encode
from realtime.publication import Entry
from tests.fakes import START


def heard(alert: str, state: str = "active") -> Entry:
    data = encode({"alert": alert, "category": "fire", "text": "out", "state": state})
    return Entry("w", 1, "emergency.alert", 127, "e", Sender("p", "planner"), START, data)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["heard", "over", "ended"]))))
def test_one_is_on_from_its_alarm_to_its_all_clear_or_to_whoever_ends_it(steps: list[tuple[str, str]]) -> None:
    alarms, on = Alarms(), set()
    for alert, step in steps:
        if step == "ended":
            alarms.end(alert)
        else:
            alarms.hear(heard(alert, "active" if step == "heard" else "all_clear"))
        on = on | {alert} if step == "heard" else on - {alert}
        assert {alert for alert in "abc" if alert in alarms} == on


def test_the_oldest_of_too_many_is_not_known_any_more_and_nothing_else_is_an_alarm() -> None:
    alarms = Alarms()
    for n in range(ALARMS_MAX + 1):
        alarms.hear(heard(f"a{n}"))
    alarms.hear(Entry("w", 2, "chat.guests", 127, "e", Sender("p", "planner"), START, b'{"text":"a0"}'))
    alarms.hear(Entry("w", 3, "emergency.alert", 127, "e", Sender("p", "planner"), START, b'{"of":"another release"}'))
    assert ["a0" in alarms, "a1" in alarms, f"a{ALARMS_MAX}" in alarms, "" in alarms] == [False, True, True, False]
