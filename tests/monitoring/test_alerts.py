"""Alerts: their states by tables, their promises by turning the clock over any readings."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.alerts import FLAP_STABLE_S, FLAP_WINDOW_S, Alert, Change, Labels, Mute, Rule, Severity, clear_at, evaluate

W1: Labels = (("worker", "w1"),)
W2: Labels = (("worker", "w2"),)
LAG = Rule("lag", "lag_s", 0.05, clear_at(0.05, above=True), for_s=10, keep_s=60)
MISSING = Rule("missing", "silent_s", 2, 1, severity="page", keep_s=5)


class Watch:
    """Readings one after the other, a second apart."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.now_s = 1_000.0
        self.active: dict[str, Alert] = {}
        self.mutes: list[Mute] = []
        self.told: list[tuple[float, str, str]] = []

    def read(self, seconds: float = 1.0, **signals: object) -> list[Change]:
        readings = {n: v if isinstance(v, dict) else {(): v} for n, v in signals.items()}
        done = evaluate(self.rules, readings, self.active, self.now_s, self.mutes)
        self.active = done.alerts
        self.told += [(self.now_s, change.alert.rule, change.alert.told or "over") for change in done.changes]
        self.now_s += seconds
        return done.changes

    def states(self) -> list[str]:
        return [alert.state for alert in self.active.values()]

    def words(self) -> list[str]:
        return [word for _, _, word in self.told]


def test_it_fires_after_its_time_and_ends_after_its_hold() -> None:
    watch = Watch(LAG)
    for _ in range(10):
        watch.read(lag_s=0.2)
        assert watch.states() == ["pending"] and not watch.told
    watch.read(lag_s=0.2)
    assert watch.states() == ["firing"] and watch.told == [(1_010.0, "lag", "firing")]
    for _ in range(60):
        watch.read(lag_s=0.0)
        assert watch.states() == ["resolving"]
    watch.read(lag_s=0.0)
    assert watch.told[-1] == (1_071.0, "lag", "over")


def test_a_short_spike_is_nothing() -> None:
    watch = Watch(LAG)
    for value in (0.2, 0.2, 0.01) * 40:
        watch.read(lag_s=value)
    assert watch.told == []


def test_between_the_thresholds_it_goes_on() -> None:
    watch = Watch(LAG)
    for value in [0.2] * 11 + [0.045] * 200:
        watch.read(lag_s=value)
    assert watch.states() == ["firing"] and watch.words() == ["firing"]
    for value in [0.03] * 30 + [0.045] + [0.03] * 59:
        watch.read(lag_s=value)
    assert watch.states() == ["resolving"] and watch.words() == ["firing"]


def test_below_is_a_direction_too() -> None:
    watch = Watch(Rule("disk", "disk_free", 0.1, clear_at(0.1, above=False), above=False, keep_s=0))
    for free in (0.2, 0.09, 0.11, 0.13, 0.13):
        watch.read(disk_free=free)
    assert watch.words() == ["firing", "over"]


@pytest.mark.parametrize("signals", [{}, {"lag_s": None}, {"lag_s": float("nan")}], ids=["absent", "None", "NaN"])
def test_no_data_is_not_ok(signals: dict[str, object]) -> None:
    watch = Watch(msgspec.structs.replace(LAG, no_data_s=30))
    watch.read(lag_s=0.01)
    assert watch.states() == []
    watch.read(**signals)
    assert watch.states() == ["no_data"] and not watch.told
    for _ in range(30):
        watch.read(**signals)
    assert watch.words() == ["no_data"] and "no reading of lag_s" in next(iter(watch.active.values())).reason
    watch.read(lag_s=0.01)
    assert watch.words() == ["no_data", "over"]


def test_a_firing_alert_without_readings_goes_on_and_says_so() -> None:
    watch = Watch(MISSING)
    watch.read(silent_s={W1: 9.0})
    for _ in range(800):
        watch.read()
    (alert,) = watch.active.values()
    assert alert.state == "firing" and alert.reason == "no reading of silent_s; the last was 9, 800 s ago"
    for _ in range(800):
        watch.read()
    (alert,) = watch.active.values()
    assert alert.state == "no_data" and watch.words() == ["firing", "no_data"]
    watch.read(silent_s={W1: 0.0})
    assert watch.words() == ["firing", "no_data", "over"]


def test_what_was_not_known_for_a_while_and_is_still_so_was_never_over() -> None:
    watch = Watch(LAG)
    for _ in range(11):
        watch.read(lag_s=0.2)
    for _ in range(1_000):
        watch.read()
    for _ in range(11):
        watch.read(lag_s=0.2)
    assert watch.words() == ["firing", "no_data", "firing"]


def test_what_is_no_longer_there_is_over() -> None:
    watch = Watch(MISSING)
    watch.read(silent_s={W1: 9.0, W2: 0.1})
    for _ in range(7):
        watch.read(silent_s={W2: 0.1})
    assert watch.words() == ["firing", "over"] and watch.states() == ["ok"]  # remembered for a while, should it flap
    watch.now_s += FLAP_WINDOW_S
    watch.read(silent_s={W2: 0.1})
    assert watch.active == {}


def test_a_rule_switched_off_ends_its_alerts() -> None:
    watch = Watch(MISSING)
    watch.read(silent_s={W1: 9.0})
    watch.rules = ()
    (change,) = watch.read(silent_s={W1: 9.0})
    assert change.alert.told == "" and change.alert.reason == "the rule is switched off" and watch.active == {}


@pytest.mark.parametrize(
    ("before", "after", "fires_first", "as_what"),
    [("page", "ticket", True, "page"), ("ticket", "page", True, "page"), ("page", "info", False, "info")],
)
def test_what_was_told_is_over_for_whoever_was_told(
    before: Severity, after: Severity, fires_first: bool, as_what: Severity
) -> None:
    watch = Watch(msgspec.structs.replace(LAG, severity=before))
    for _ in range(11 if fires_first else 5):
        watch.read(lag_s=0.2)
    watch.rules = (msgspec.structs.replace(LAG, severity=after),)
    for _ in range(20):
        watch.read(lag_s=0.2)
    changes = [change for _ in range(61) for change in watch.read(lag_s=0.0)]
    assert [(change.alert.told, change.alert.severity) for change in changes] == [("", as_what)]
    changes = [change for _ in range(11) for change in watch.read(lag_s=0.2)]
    assert [(change.alert.told, change.alert.severity) for change in changes] == [("firing", after)]


def test_a_missing_worker_explains_its_own_lag_and_nobody_elses() -> None:
    lag = msgspec.structs.replace(LAG, for_s=0, keep_s=0, hidden_by=("missing",))
    watch = Watch(lag, MISSING)
    watch.read(lag_s={W1: 1.0, W2: 1.0}, silent_s={W1: 5.0, W2: 0.0})
    assert sorted((rule, word) for _, rule, word in watch.told) == [("lag", "firing"), ("missing", "firing")]
    assert {alert.labels: alert.muted for alert in watch.active.values() if alert.rule == "lag"} == {
        W1: "explained by missing",
        W2: "",
    }
    for _ in range(8):
        watch.read(lag_s={W1: 1.0, W2: 0.0}, silent_s={W1: 0.0, W2: 0.0})
    said = [(rule, word) for _, rule, word in watch.told]
    assert said[-2:] == [("lag", "firing"), ("missing", "over")]  # in one step: the cause is gone, the lag is not


def test_a_silence_keeps_quiet_and_what_is_still_so_is_told_afterwards() -> None:
    watch = Watch(MISSING)
    watch.mutes = [Mute("missing", W1, "silenced by Ada: moving racks")]
    watch.read(silent_s={W1: 9.0, W2: 9.0})
    assert len(watch.told) == 1
    watch.mutes = []
    watch.read(silent_s={W1: 9.0, W2: 9.0})
    assert watch.words() == ["firing", "firing"]
    watch.mutes = [Mute("", (), "silenced by Ada: all of it")]
    for _ in range(7):
        watch.read(silent_s={W1: 0.0, W2: 0.0})
    assert watch.words() == ["firing", "firing", "over", "over"]  # who was told that it fires hears that it is over


@pytest.mark.parametrize("hidden", ["by a silence", "by its cause"])
def test_what_was_over_before_it_could_be_told_is_never_told(hidden: str) -> None:
    watch = Watch(msgspec.structs.replace(LAG, for_s=0, hidden_by=("missing",)), MISSING)
    silent_s = {W1: 9.0 if hidden == "by its cause" else 0.0}
    watch.mutes = [Mute("lag", W1, "silenced by Ada: known")] if hidden == "by a silence" else []
    for _ in range(3):
        watch.read(lag_s={W1: 1.0}, silent_s=silent_s)
    for _ in range(3):
        watch.read(lag_s={W1: 0.0}, silent_s=silent_s)
    watch.mutes = []
    for _ in range(20):
        watch.read(lag_s={W1: 0.0}, silent_s={W1: 0.0})
    assert "resolving" in watch.states() and not [word for _, rule, word in watch.told if rule == "lag"]
    watch.read(lag_s={W1: 1.0}, silent_s={W1: 0.0})
    assert watch.told[-1][1:] == ("lag", "firing"), "it began anew"


def test_flapping_is_one_notice_and_then_the_truth() -> None:
    rule = Rule("flap", "x", 1, 0.8, keep_s=0)
    watch = Watch(rule)
    for _ in range(100):
        watch.read(x=2.0)
        watch.read(x=0.0)
        watch.read(x=0.0)
    assert watch.words() == ["firing", "over", "firing", "flapping"]
    for _ in range(int(FLAP_STABLE_S)):
        watch.read(x=0.0)
    assert watch.words()[-1] == "over" and watch.active == {}


value = st.one_of(st.floats(0, 3), st.none(), st.just("gone"))
rules = st.builds(
    lambda above, for_s, keep_s, no_data_s: Rule(
        "r", "x", 1.5, clear_at(1.5, above=above), above=above, for_s=for_s, keep_s=keep_s, no_data_s=no_data_s
    ),
    st.booleans(),
    st.sampled_from([0, 1, 5, 30]),
    st.sampled_from([0, 1, 60]),
    st.sampled_from([0, 5]),
)
steps = st.lists(st.tuples(value, st.integers(1, 40), st.sampled_from([0.5, 1.0, 7.0])), min_size=1, max_size=80)


@given(rules, steps)
def test_whatever_is_read_nobody_is_flooded_and_nothing_is_left_unexplained(
    rule: Rule, steps: list[tuple[object, int, float]]
) -> None:
    watch = Watch(rule)
    for reading, times, apart_s in steps:
        for _ in range(times):
            signals: dict[str, object] = {"x": {}} if reading == "gone" else {"x": reading}
            watch.read(apart_s, **signals)
            if reading is None:
                assert watch.states() not in ([], ["ok"])
            for alert in watch.active.values():
                assert alert.reason
                assert alert.since_s < watch.now_s and len(alert.edges) <= 4
                assert (alert.told == "firing") <= (alert.active or alert.flapping)
    times_told = [at_s for at_s, _, word in watch.told if word in ("firing", "over", "flapping")]
    for at_s in times_told:
        assert sum(at_s <= other < at_s + FLAP_WINDOW_S for other in times_told) <= 12
    news = [word for _, _, word in watch.told]
    assert all(a != b for a, b in zip(news, news[1:], strict=False))  # never the same twice
    quiet = 0.0 if rule.above else 3.0
    for _ in range(int(FLAP_STABLE_S) + 70):
        watch.read(x=quiet)
    assert set(watch.states()) <= {"ok"}
    assert not watch.told or watch.words()[-1] == "over"


@given(st.lists(st.tuples(st.sampled_from([W1, W2]), st.floats(0, 5)), max_size=40))
def test_subjects_do_not_disturb_each_other(readings: list[tuple[Labels, float]]) -> None:
    both, alone = Watch(MISSING), {W1: Watch(MISSING), W2: Watch(MISSING)}
    now: dict[Labels, float] = {W1: 0.0, W2: 0.0}
    for who, silent_s in readings:
        now[who] = silent_s
        both.read(silent_s=dict(now))
        for labels, watch in alone.items():
            watch.read(silent_s={labels: now[labels]})
    merged = alone[W1].active | alone[W2].active
    assert both.active == merged
