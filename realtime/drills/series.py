"""`drill all`: one drill after the other, each in a process of its own, and what came of each.

One that fails does not keep the others from being played. One that lacks something of the machine is refused by name, as it
would be alone; anything else that keeps a drill from being carried out counts as a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from django.conf import settings
from msgspec import Struct

from monitoring.drill_page import urgent_ms
from realtime.clock import Clock
from realtime.drills.faults import FaultDrill
from realtime.drills.load import Progress
from realtime.drills.needs import refusal
from realtime.fleet import processes

POLL_S = 0.5
STOP_S = 60.0
"""A drill that is told to stop ends its fleet first, which gives its members 15 s."""
Verdict = Literal["passed", "failed", "refused"]


class Outcome(Struct, frozen=True):
    """What came of one drill. `said`: its figures in short, what it broke, or what it lacks."""

    drill: str
    verdict: Verdict
    took_s: float
    said: str


class Asked(Struct, frozen=True):
    """What is asked of each. None: its own default. `reports`: a folder for the pages and JSON of all."""

    connections: int | None = None
    minutes: float | None = None
    seed: int = 1
    database_url: str = ""
    reports: Path | None = None

    def arguments(self, drill: type[FaultDrill]) -> list[str]:
        """Of `manage.py drill`, for this one."""
        found = [drill.name, "--json", "--seed", str(self.seed)]
        for name, value in (("--connections", self.connections), ("--minutes", self.minutes)):
            found += [] if value is None else [name, str(value)]
        found += ["--database-url", self.database_url] if self.database_url else []
        found += ["--html", str(self.reports / f"{drill.name}.html")] if self.reports else []
        return [*found, *drill.among_all]  # last, so that it counts


def played(drills: Sequence[type[FaultDrill]], asked: Asked, clock: Clock, progress: Progress) -> Iterator[Outcome]:
    """Play them in this order; each outcome as soon as it is known. Whoever stops listening ends the one that runs."""
    for number, drill in enumerate(drills):
        if missing := refusal(drill.name, drill.needs):
            yield Outcome(drill.name, "refused", 0.0, missing)
            continue
        began_s = clock.monotonic()

        def going(drill: type[FaultDrill] = drill, number: int = number, began_s: float = began_s) -> None:
            now_s = clock.monotonic() - began_s
            progress(f"{drill.name}, {number + 1} of {len(drills)}, {now_s:.0f} s", number / len(drills))

        with tempfile.TemporaryFile() as output:
            code = _run(asked.arguments(drill), output, going)
            output.seek(0)
            said = output.read().decode(errors="replace")
        yield judged(drill.name, code, said, clock.monotonic() - began_s, asked.reports)


def judged(drill: str, code: int, said: str, took_s: float, reports: Path | None = None) -> Outcome:
    """What a drill that ended with `code` has found. Its result is the one line of JSON; what else it said is log lines."""
    lines = said.strip().splitlines() or ["it said nothing"]
    took_s = round(took_s, 1)
    found = next((line for line in reversed(lines) if line.startswith("{")), "")
    if code in (0, 1) and found:
        result: dict[str, Any] = json.loads(found)
        if reports is not None:
            try:
                (reports / f"{drill}.json").write_text(found, encoding="utf-8")
            except OSError as error:
                return Outcome(drill, "failed", took_s, f"its result cannot be written to {reports}: {error.strerror}")
        if code == 0:
            return Outcome(drill, "passed", took_s, in_short(result))
        return Outcome(drill, "failed", took_s, result["reason"])
    why = next((line for line in lines if line.startswith("CommandError: ")), lines[-1])
    return Outcome(drill, "failed", took_s, f"ended with {code}: {why.removeprefix('CommandError: ')}")


def in_short(result: dict[str, Any]) -> str:
    """The figures that everybody asks for first."""
    load, urgent = result["load"], urgent_ms(result)
    late = "" if urgent is None else f", urgent p99 {urgent:,.0f} ms"
    return f"{load['connections']:,} people, {load['deliveries']:,} deliveries, 0 lost{late}"


def _run(arguments: Sequence[str], output: IO[bytes], going: Callable[[], None]) -> int:
    """Its exit status. A drill that is not waited for to its end is stopped, and clears up behind itself."""
    command = [sys.executable, "manage.py", "drill", *arguments]
    process = processes.start(command, dict(os.environ), cwd=Path(settings.BASE_DIR), output=output)
    try:
        while True:
            going()
            try:
                return process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            processes.end(process, STOP_S)
