"""One process has a wrong wall clock, the others do not; the monotonic one stays right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.drills.wrong_clock import library

ROOT = Path(__file__).parents[3]
ASK = "import time; from realtime.clock import SystemClock as C; c = C();print(c.now().timestamp(), time.time(), c.monotonic())"


def clocks(tmp_path: Path, slot: str, with_library: str) -> list[float]:
    offset = tmp_path / "offset"
    offset.write_text("+300", encoding="ascii")
    env = os.environ | {
        "PYTHONPATH": f"{ROOT / 'realtime' / 'drills' / 'skew'}:{ROOT}",
        "WEDSYNC_SLOT": slot,
        "WEDSYNC_SKEW_SLOT": "w2",
        "WEDSYNC_SKEW_FILE": str(offset),
        "WEDSYNC_SKEW_LIBRARY": with_library,
    }
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize("with_library", ["", pytest.param(library(), id="libfaketime")])
def test_only_the_worker_in_that_slot_is_wrong(tmp_path: Path, with_library: str) -> None:
    (now_s, time_s, monotonic_s), (right_s, _, right_monotonic_s) = (
        clocks(tmp_path, slot, with_library) for slot in ("w2", "w1")
    )
    assert 250 < now_s - right_s < 310 and 250 < time_s - right_s < 310
    assert 0 <= right_monotonic_s - monotonic_s < 50
