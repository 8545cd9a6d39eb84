"""The dashboard in words: what is missing is said to be, and the page of every moment can be rendered and sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring.dashboard.building import fleet_status, scaler_status
from monitoring.dashboard.kind import OPS_STATUS, Shown
from monitoring.dashboard.shown import nothing, shown
from monitoring.dashboard.status import AlertFact, DrillFact, Facts, PinFact
from monitoring.dashboard.watching import Standing, Watch
from monitoring.dashboard.words import clock, count, decimal, ms, share, size, span
from realtime.kinds import decode_data
from realtime.messages import encode
from realtime.policy.forecast import Need
from realtime.policy.scaling import ScalingDecision
from realtime.report import WorkerReport
from tests.monitoring.dashboard.fleet import NOON, timed, wedding, worker

DECISION = ScalingDecision(2, 3, "connections need 3", "connections", {"connections": 2.4}, 3, False, False, "advise")
NEED = Need(1_200.0, 1_500.0, 2_400.0, 14, True, True, 0)


def page(rounds: Sequence[list[WorkerReport] | None], facts: Facts | None = None, **more: Any) -> Shown:
    watch = Watch()
    for second, reports in enumerate(rounds):
        status = fleet_status(
            watch,
            reports,
            datetime.fromtimestamp(NOON + second, UTC),
            **{"holder": "here.1.c", "tick_ms": 2.0, "scaler": None, "standing": Standing(), "bookings": {}} | more,
        )
    return shown(status, facts or Facts(NOON))


def by_key(page: Shown, name: str) -> dict[str, dict[str, str]]:
    return {row.key: row.texts for row in page.rows[name]}


def test_a_fleet_of_two_in_words() -> None:
    first = [worker(weddings={"rose": wedding(12)}, busy=0.42, lag_s=0.004, rss_bytes=90 << 20), worker("w2")]
    second = [
        worker(
            "w1", NOON + 1, weddings={"rose": wedding(12, 240, timed((0.003, 240)))}, deliveries_total={"P1": 240},
            latency={"P1": timed((0.003, 240))}, busy=0.42, lag_s=0.004, rss_bytes=90 << 20, plans={"usual, plain": 12},
        ),
        worker("w2", NOON + 1, canaries={"here.w1.a": 0.002}),
    ]  # fmt: skip
    told = page([first, second], scaler=scaler_status(DECISION, NEED, 1.1, 1, 4))
    assert told.texts["connections"] == "12" and told.texts["connections_note"].startswith("12 guests")
    assert told.texts["deliveries"] == "240" and told.texts["p99"].endswith("ms") and told.texts["p99_tone"] == "good"
    assert told.texts["live_note"] == "1 kept" and told.texts["have"] == "2" and told.texts["want"] == "3"
    assert "1,200 people expected now" in told.texts["expected"]
    w1 = by_key(told, "workers")["here.w1.a"]
    assert (w1["busy"], w1["lag"], w1["memory"]) == ("42 %", "4.00 ms", "90 MiB")
    assert (w1["canary"], w1["plans"]) == ("heard by 1 of 1, 2.00 ms", "12 usual, plain")
    rose = by_key(told, "weddings")["rose"]
    assert (rose["where"], rose["promise"], rose["judged"]) == ("w1", "kept", "240 judged, none late")
    assert told.figures["deliveries"] == pytest.approx(240)


def test_what_was_not_measured_is_said_and_never_zero() -> None:
    told = page([[worker()]])
    w1 = by_key(told, "workers")["here.w1.a"]
    assert {w1[name] for name in ("busy", "lag", "memory", "deliveries", "plans")} == {"not known"}
    assert told.texts["deliveries"] == told.texts["p99"] == "not known" and told.figures["p99_ms"] is None
    assert told.texts["uneven"] == "one worker holds everybody"


def test_without_a_registry_what_was_known_stays_and_that_is_said() -> None:
    told = page([[worker(weddings={"rose": wedding(4)})], None])
    assert told.texts["connections"] == "not known" and told.figures["connections"] is None
    assert "cannot be read" in told.texts["warning"] and "rose" in by_key(told, "weddings")


def test_without_a_control_loop_everything_is_missing() -> None:
    told = nothing(datetime.fromtimestamp(NOON, UTC))
    assert "No control loop" in told.texts["warning"] and told.texts["connections"] == told.texts["alerts"] == "not known"
    assert all(value is None for value in told.figures.values()) and told.rows["workers"] == []


def test_alerts_pins_and_drills_are_told_with_their_names() -> None:
    alert = AlertFact(7, "page", "A worker does not report any more", "3 is above 2", "firing", "", NOON - 5, "")
    drills = [DrillFact("kill", "manage.py drill kill", NOON - 86_400, NOON - 60, True)]
    facts = Facts(NOON, alerts=[alert], pin=PinFact(3, NOON + 600, "ada", "fair"), drills=drills)
    told = page([[worker()]], facts, scaler=scaler_status(DECISION, None, None, 1, 4))
    assert told.texts["alerts_tone"] == "bad" and told.texts["alerts_note"] == "1 page, 1 not acknowledged"
    assert by_key(told, "alerts")["7"]["who"] == "nobody has acknowledged it"
    assert told.texts["pin"] == f"3 until {clock(NOON + 600, NOON)} UTC: ada, fair"
    assert by_key(told, "drills")["kill"]["last"] == "failed 1 min ago, passed 1 d ago"


def test_it_fits_into_the_kind_it_is_sent_as() -> None:
    told = page([[worker(weddings={f"w-{n}": wedding(3) for n in range(2_000)})]])
    sent = encode(told)
    assert decode_data(OPS_STATUS, sent) == told and len(sent) < 32_768
    assert told.texts["weddings_more"].startswith("And 1,970 more weddings")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ms(0.0034), "3.40 ms"), (ms(0.0342), "34.2 ms"), (ms(0.12), "120 ms"), (ms(2.11), "2.1 s"), (ms(None), "not known"),
        (size(31 << 20), "31 MiB"), (size(12), "12 B"), (span(7_500), "2 h 05 min"), (span(59.4), "59 s"),
        (decimal(3.14), "3.1"), (decimal(12_345.6), "12,346"), (count(1, "delivery"), "1 delivery"),
        (count(2, "delivery"), "2 deliveries"), (count(2, "planner"), "2 planners"), (share(0, 9), "none"),
        (share(1, 10_000), "1 (under 0.1 %)"), (clock(NOON - 86_400, NOON)[:2], "11"),
    ],
)  # fmt: skip
def test_figures_are_written_as_people_read_them(said: str, expected: str) -> None:
    assert said == expected
