"""What was examined, and on what: version, configuration, machine. So that two runs can be compared, or it is seen that not."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path

import msgspec
from django import get_version
from django.conf import settings

from realtime.clock import Clock


def about(clock: Clock) -> dict[str, str]:
    """{name: value}. What cannot be found out is left out."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {
        "at": clock.now().isoformat(timespec="seconds"),
        "revision": _git("describe", "--always", "--dirty", "--abbrev=12"),
        "configuration": configuration(),
        "machine": f"{platform.node()}, {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "software": f"Python {platform.python_version()}, Django {get_version()}",
    }
    return {name: value for name, value in found.items() if value}


def configuration() -> str:
    """A short hash of the settings of realtime: the same hash, the same settings."""
    return hashlib.sha256(msgspec.json.encode(settings.REALTIME, order="sorted", enc_hook=str)).hexdigest()[:12]


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
