"""What `script/bench` refuses before it measures anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nope",), "there is no row nope"),
        (("memory", "--peers", "nope"), "there is no peer nope"),
        (("--runs", "0"), "--runs must be at least 1"),
        (("memory", "--json", "/nonexist/x.json"), "--json /nonexist/x.json: No such file or directory"),
        (("memory", "--json", "/"), "--json /: Is a directory"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_measured_or_kept_is_said_at_once(args: tuple[str, ...], says: str) -> None:
    done = subprocess.run([sys.executable, "-m", "bench", *args], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and says in done.stderr and not done.stdout
