"""What a worker says of itself when it lacks open files."""

from __future__ import annotations

import pytest

from realtime.fleet import worker as module
from realtime.fleet.worker import FleetWorker, open_files
from realtime.policy.files import RESERVED


class Parts:
    """What is asked of the parts here."""

    hub = clock = resume = None

    def __init__(self, state: str) -> None:
        self.state, self.reason = state, ""


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """[files open now] of 100."""
    n_open = [50]
    monkeypatch.setattr(module, "open_files", lambda: n_open[0])
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (100, 100))
    return n_open


def test_it_is_lame_while_it_lacks_files_and_ready_again_afterwards(limited: list[int]) -> None:
    parts = Parts("ready")
    worker = FleetWorker(parts, lambda: None, lambda: True)  # type: ignore[arg-type]
    states = []
    for n_open in (50, 100 - RESERVED, 99, 50):
        limited[0] = n_open
        worker._check_files()
        states.append((parts.state, parts.reason))
    assert states == [
        ("ready", ""),
        ("lame", f"{100 - RESERVED} of 100 open files are used (ulimit -n)"),
        ("lame", "99 of 100 open files are used (ulimit -n)"),
        ("ready", ""),
    ]


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_who_leaves_or_starts_goes_on_doing_so(limited: list[int], state: str) -> None:
    parts = Parts(state)
    worker = FleetWorker(parts, lambda: None, lambda: True)  # type: ignore[arg-type]
    for n_open in (99, 10):
        limited[0] = n_open
        worker._check_files()
        assert parts.state == state


def test_files_are_counted() -> None:
    before = open_files()
    with open("/dev/null", encoding="ascii"):  # noqa: PTH123
        after = open_files()
    assert before is not None and after == before + 1
