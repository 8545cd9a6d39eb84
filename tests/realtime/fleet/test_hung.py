"""Who hangs, by what was heard of whom and when."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from realtime.fleet.children import Child, Kind
from realtime.fleet.hung import HUNG_S, READY_S, hung
from realtime.fleet.passing import Seen, Standing

NOW_S = 10_000.0


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as running:
        yield running
        running.kill()


@pytest.mark.parametrize(
    ("heard", "silent_s", "dispatcher_age_s", "dispatcher_silent_s", "age_s", "found"),
    [
        (True, 0.0, 3_600, 0, 3_600, []),
        (True, HUNG_S + 1, 3_600, 0, 3_600, ["w1.1", "web.1"]),
        (False, 0.0, 3_600, 0, READY_S + HUNG_S - 1, []),
        (False, 0.0, 3_600, 0, READY_S + HUNG_S + 1, ["w1.1", "web.1"]),
        (False, 0.0, HUNG_S - 1, 0, 3_600, []),
        (False, 0.0, HUNG_S + 1, 0, 3_600, ["w1.1", "web.1"]),
        (True, 0.0, 3_600, HUNG_S + 1, 3_600, ["dispatcher.1"]),
        (True, 0.0, HUNG_S - 1, 3_600, 3_600, []),
    ],
    ids=[
        "all is well", "silent", "still starting", "never heard", "a new dispatcher has not heard them", "nor did for long",
        "the dispatcher itself", "a new dispatcher has said nothing yet",
    ],
)  # fmt: skip
def test_who_is_found(
    process: subprocess.Popen[bytes],
    heard: bool,
    silent_s: float,
    dispatcher_age_s: float,
    dispatcher_silent_s: float,
    age_s: float,
    found: list[str],
) -> None:
    def child(name: str, kind: Kind, age_s: float, *, leaving: bool = False) -> Child:
        return Child(name, name.rpartition(".")[0], kind, process, NOW_S - age_s, leaving=leaving)

    children = [
        child("dispatcher.1", "dispatcher", dispatcher_age_s),
        child("web.0", "web", 7_200, leaving=True),
        child("web.1", "web", age_s),
        child("w1.1", "worker", age_s),
        child("control.1", "control", 7_200),
    ]
    seen = Seen({"w1.1": Standing("ready", "", None, silent_s)}, ["w1.1", "web.1"] if heard else [], web_silent_s=silent_s)
    named = sorted(hanging.name for hanging, _ in hung(children, seen, NOW_S - dispatcher_silent_s, 0.0, NOW_S))
    assert named == sorted(found)


def test_a_machine_that_was_paused_makes_nobody_hang(process: subprocess.Popen[bytes]) -> None:
    kinds: dict[str, Kind] = {"dispatcher.1": "dispatcher", "web.1": "web", "w1.1": "worker"}
    children = [Child(name, name.rpartition(".")[0], kind, process, NOW_S - 3_600) for name, kind in kinds.items()]
    assert {child.name for child, _ in hung(children, Seen({}), 0.0, 0.0, NOW_S)} == set(kinds)
    assert not list(hung(children, Seen({}), 0.0, NOW_S - HUNG_S, NOW_S))
