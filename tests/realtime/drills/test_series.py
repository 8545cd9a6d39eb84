"""`drill all`: what is asked of each drill, what is made of its end, and the status it ends with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import IO, Any

import pytest
from django.core.management import CommandError, call_command

from realtime.drills import series
from realtime.drills.calibrate import CalibrateDrill
from realtime.drills.kill import KillDrill
from realtime.drills.needs import Need
from realtime.drills.scale import ScaleDrill
from realtime.drills.series import Asked, judged

FAST = {"count": 9, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 12.4}
RESULT: dict[str, Any] = {"reason": "", "load": {"connections": 60, "deliveries": 4_321, "latency": {"P1": FAST}}}
FAILED = json.dumps(RESULT | {"reason": "1 lost: rose/chat.crew id2"})


def test_each_is_asked_what_all_are_asked_and_what_it_asks_for_itself() -> None:
    asked = Asked(200, 0.2, 7, "own", Path("out"))
    common = ["--connections", "200", "--minutes", "0.2", "--database-url", "own"]
    assert asked.arguments(KillDrill) == ["kill", "--json", "--seed", "7", *common, "--html", "out/kill.html"]
    assert Asked(200, 0.2).arguments(CalibrateDrill)[-4:] == ["--connections", "2000", "--minutes", "1"]
    assert Asked().arguments(ScaleDrill) == ["scale", "--json", "--seed", "1", *ScaleDrill.among_all]


@pytest.mark.parametrize(
    ("code", "said", "verdict", "sentence"),
    [
        (0, f"a line of the log\n{json.dumps(RESULT)}\n", "passed", "60 people, 4,321 deliveries, 0 lost, urgent p99 12 ms"),
        (1, f"cleared away\n{FAILED}\nERROR not compared", "failed", "1 lost: rose/chat.crew id2"),
        (2, "CommandError: the drill could not be carried out: no\nmore", "failed", "ended with 2: the drill could not be"),
        (-9, "", "failed", "ended with -9: it said nothing"),
        (1, "Traceback\nValueError: x", "failed", "ended with 1: ValueError: x"),
    ],
)
def test_what_is_made_of_its_end(code: int, said: str, verdict: str, sentence: str, tmp_path: Path) -> None:
    outcome = judged("kill", code, said, 3.21, tmp_path)
    assert (outcome.verdict, outcome.took_s) == (verdict, 3.2) and outcome.said.startswith(sentence)
    assert (tmp_path / "kill.json").exists() is ("{" in said)


class Ends:
    """In the place of the processes: each drill ends with the status it was given."""

    def __init__(self, **codes: int) -> None:
        self.codes = codes
        self.played: list[str] = []

    def __call__(self, arguments: Sequence[str], output: IO[bytes], going: Any) -> int:
        going()
        self.played.append(arguments[0])
        output.write((json.dumps(RESULT) if self.codes[arguments[0]] == 0 else FAILED).encode())
        return self.codes[arguments[0]]


def ran(monkeypatch: pytest.MonkeyPatch, ends: Ends) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr(series, "_run", ends)
    out, code = StringIO(), 0
    try:
        call_command("drill", "all", *ends.codes, "--json", stdout=out, stderr=StringIO())
    except SystemExit as ended:
        code = int(ended.code or 0)
    found: dict[str, Any] = json.loads(out.getvalue())
    return code, found


def test_one_that_fails_does_not_keep_the_others_from_being_played(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends(load=0, kill=1, hang=0)
    code, found = ran(monkeypatch, ends)
    assert (code, found["passed"], ends.played) == (1, False, ["load", "kill", "hang"])
    assert [row["verdict"] for row in found["drills"]] == ["passed", "failed", "passed"]


def test_one_that_lacks_something_is_listed_with_it_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KillDrill, "needs", (Need("a thing", "apt-get install thing", lambda: False),))
    ends = Ends(load=0, kill=0)
    code, found = ran(monkeypatch, ends)
    assert (code, found["passed"], ends.played) == (0, True, ["load"])
    assert found["drills"][1]["verdict"] == "refused"
    assert found["drills"][1]["said"] == "drill kill needs a thing (apt-get install thing)"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("all", "nonsense"), "there is no drill 'nonsense'"),
        (("all", "--connections", "1"), "--connections 1: at least 2"),
        (("all", "--reports", "/proc/nowhere"), "--reports /proc/nowhere: "),
        (("kill", "--connections", "-1"), "--connections -1: at least 2"),
        (("kill", "--minutes", "0"), "--minutes 0: more than 0"),
        (("kill", "--minutes", "nan"), "--minutes nan: more than 0"),
        (("kill", "--minutes", "1e300"), "--minutes 1e+300: more than 0, at most a week"),
        (("kill", "--workers", "-1"), "--workers -1: "),
        (("kill", "--profile", "none"), "--profile none: "),
        (("kill", "--database-url", "nonsense"), "--database-url nonsense: "),
        (("kill", "--html", "/nowhere/page.html"), "--html /nowhere/page.html: "),
        (("kill", "--html", "/tmp"), "--html /tmp: it is a folder"),
        (("load", "--url", "nonsense"), "--url nonsense: "),
        (("load", "--url", "http://[::1"), "--url http://[::1: "),
        (("load", "--url", "http://127.0.0.1:99999"), "--url http://127.0.0.1:99999: "),
        (("load", "--url", "http://a..b"), "--url http://a..b: "),
        (("scale", "--date", "nonsense"), "--date nonsense: "),
        (("replay", "--speed", "inf"), "--speed: more than 0"),
        (("rehearsal", "--date", "2027-13-01"), "--date 2027-13-01: "),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError) as error:
        call_command("drill", *arguments)
    assert error.value.returncode == 2 and str(error.value).startswith(sentence) and "\n" not in str(error.value)


@pytest.mark.parametrize("names", ["{", "[]"])
def test_a_list_of_weddings_that_is_none_is_refused(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(names))
    with pytest.raises(CommandError, match="list of names") as error:
        call_command("drill", "seed")
    assert error.value.returncode == 2


def test_a_port_that_there_is_not_is_refused() -> None:
    with pytest.raises(CommandError, match="--port 70000: from 1 to 65535") as error:
        call_command("serve", "--workers", "1", "--port", "70000")
    assert error.value.returncode == 2
