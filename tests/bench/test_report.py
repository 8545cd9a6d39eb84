"""The search for the highest rate, and the table."""

from __future__ import annotations

import json

import pytest

from bench.bench import Bench, Line, Outcome, median, ratio, worst
from bench.generator import Counts
from bench.machine import CannotMeasure
from bench.report import as_json, markdown
from bench.rows.fanout import highest


@pytest.mark.parametrize("limit", [7.0, 100.0, 999.0, 1_000.0, 4_321.0, 64_000.0])
def test_the_highest_rate_is_found_to_a_tenth(limit: float) -> None:
    asked: list[float] = []

    def good(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    found = highest(good, 1_000.0, 3)
    assert found <= limit < found * 1.1
    assert len(asked) < 16


def test_no_rate_is_good() -> None:
    assert highest(lambda rate: False, 1_000.0, 3) == 0.0


def test_a_server_that_is_slow_to_try_is_not_tried_for_ever() -> None:
    asked: list[float] = []

    def good(rate: float) -> bool:
        asked.append(rate)
        return rate < 5.0

    assert highest(good, 20.0, 3, lambda: len(asked) < 2) == 0.0
    assert asked == [20.0, 10.0]
    asked.clear()
    assert highest(good, 8.0, 3, lambda: len(asked) < 2) == 4.0
    assert asked == [8.0, 4.0]


def test_the_table_compares_and_shows_what_is_missing() -> None:
    lines = [
        Line("fanout", "deliveries per CPU-second", {"wedsync": 900_000, "nchan": 150_000}, "1,000,000", 0, True),
        Line("fanout", "p99 ms", {"wedsync": 2.0, "nchan": None}, "5"),
        Line("memory", "RSS, KB", {"wedsync": 20.0, "nchan": 10.0, "loop": 0.2}, "17"),
    ]
    text = markdown(Outcome(lines, notes=["fanout: something"]), ["wedsync", "nchan", "loop"])
    assert text.splitlines()[:5] == [
        "| row | figure | goal | WedSync | Nchan | C loop of send() |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| fanout | deliveries per CPU-second | 1,000,000 | 900,000 | 150,000 (6 x) | - |",
        "|  | p99 ms | 5 | 2.0 | - | - |",
        "| memory | RSS, KB | 17 | 20.0 | 10.0 (0.5 x) | 0.2 (0.01 x) |",
    ]
    assert text.endswith("- fanout: something\n")


def test_figures_over_runs() -> None:
    runs: list[Counts] = [{"p": 3.0, "lost": 0}, {"p": 1.0, "lost": 2}, {"p": None, "lost": 1}]
    assert median(runs, "p") == 2.0
    assert median([], "p") is None
    assert worst({"a": runs, "b": []}, "lost") == {"a": 2, "b": None}
    assert ratio({"a": 4.0, "b": 2.0, "c": None}, "b") == {"a": 2.0, "b": 1.0, "c": None}
    assert ratio({"a": 4.0}, "b") == {"a": None}


def test_doubtful_measurements_are_said_to_be_so() -> None:
    bench = Bench(["wedsync", "nchan"], 3, False, lambda text: None)
    bench.begin("fanout")
    replies = iter([{"valid": False, "busy": 0.97}, {"valid": True, "busy": 0.1, "server_kept_waiting": 0.4}])

    def measure(name: str) -> Counts:
        if name == "nchan":
            raise CannotMeasure("Nchan is not installed: apt-get install it")
        return next(replies)

    found = bench.each(measure, runs=2)
    assert [len(found[name]) for name in ("wedsync", "nchan")] == [2, 0]
    assert bench.outcome.notes == [
        "fanout: WedSync: not valid, the load generator was 97% busy",
        "fanout: measured while the machine was busy with other work (`kept_waiting` in the JSON says how much)",
        "fanout: Nchan is missing: Nchan is not installed: apt-get install it",
    ]
    assert [row["server"] for row in json.loads(as_json(bench.outcome, {}))["raw"]] == ["wedsync", "wedsync"]
