"""One run of the benchmark: which servers, how often, and what came out."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from bench.generator import Counts, Crowd
from bench.machine import CannotMeasure, cores
from bench.peers import PEERS, SLOW, TITLES
from bench.target import Target
from realtime.drills.server import DrillFailed

KEPT_WAITING_MAX = 0.05
"""Share of the time that server or load were runnable but others had their core: above it the machine was not ours alone."""


class Line(Struct, frozen=True):
    """One line of the table. `values`: {server: figure}, None for what could not be measured. `goal`: what it is held against;
    `rising`: more is better; None: neither.
    """

    row: str
    what: str
    values: dict[str, float | None]
    goal: str = ""
    digits: int = 1
    rising: bool | None = False


class Outcome(Struct):
    """Everything that one run found. `raw`: each single measurement; `notes`: what a reader must know."""

    lines: list[Line] = field(default_factory=list)
    raw: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Bench:
    """What rows are given. `peers`: whom to measure, in the order of the table. `say`: progress."""

    def __init__(self, peers: Sequence[str], runs: int, quick: bool, say: Callable[[str], None]) -> None:
        self.peers, self.runs, self.quick, self.say = peers, 1 if quick else runs, quick, say
        self.server_core, self.load_core = cores()
        self.outcome = Outcome()
        self._row = ""

    def begin(self, row: str) -> None:
        """What is measured from now on belongs to this row."""
        self._row = row

    def pick(self, quick: float, full: float) -> float:
        """A duration or number: small for --quick."""
        return quick if self.quick else full

    @contextmanager
    def serving(
        self, name: str, rooms: dict[str, int], *, deflate: bool = False, **crowd: Any
    ) -> Iterator[tuple[Target, Crowd]]:
        """A fresh server and its members, not connected yet."""
        awake = name not in SLOW and self.server_core != self.load_core
        with (
            tempfile.TemporaryDirectory(prefix="wedsync-bench-") as folder,
            PEERS[name](Path(folder), self.server_core, list(rooms), deflate=deflate) as target,
            Crowd(target, rooms, self.load_core, deflate=deflate, awake=awake, **crowd) as members,
        ):
            yield target, members

    def crowd(self, target: Target, rooms: dict[str, int], **options: Any) -> Crowd:
        """More members of a server that runs already."""
        return Crowd(target, rooms, self.load_core, **options)

    def each(self, measure: Callable[[str], Counts], *, only: Sequence[str] = (), runs: int = 0) -> dict[str, list[Counts]]:
        """{server: what `measure` said, run by run}; a server that cannot be measured has none, and a note says why."""
        found: dict[str, list[Counts]] = {}
        for name in [peer for peer in self.peers if not only or peer in only]:
            found[name] = []
            wanted = runs or (1 if name in SLOW else self.runs)
            for run in range(wanted):
                self.say(f"{self._row}: {TITLES[name]}, run {run + 1} of {wanted}")
                try:
                    counts = measure(name)
                except (CannotMeasure, DrillFailed) as error:
                    self.note(f"{TITLES[name]} is missing: {error}")
                    break
                found[name].append(self.keep(name, counts))
        return found

    def keep(self, name: str, counts: Counts) -> Counts:
        """Take a measurement into the report, and say what makes it doubtful."""
        self.outcome.raw.append({"row": self._row, "server": name, **counts})
        if not counts.get("valid", True):
            unsent = f", {counts['unsent']} publications were not sent" if counts.get("unsent") else ""
            self.note(f"{TITLES[name]}: not valid, the load generator was {counts['busy']:.0%} busy{unsent}")
        if counts.get("refused"):
            self.note(f"{TITLES[name]} refused {counts['refused']:,} publications, the first: {counts['refusal']}")
        waited = max(counts.get("kept_waiting", 0.0), counts.get("server_kept_waiting", 0.0))
        if waited > KEPT_WAITING_MAX:
            self.note("measured while the machine was busy with other work (`kept_waiting` in the JSON says how much)")
        return counts

    def note(self, text: str) -> None:
        """Once, with the name of the row."""
        if (line := f"{self._row}: {text}") not in self.outcome.notes:
            self.outcome.notes.append(line)

    def line(self, what: str, values: dict[str, float | None], goal: str = "", **style: Any) -> None:
        """A line of the table."""
        self.outcome.lines.append(Line(self._row, what, values, goal, **style))


def median(runs: Sequence[Counts], name: str) -> float | None:
    """The median of a figure over the runs; None when there is none."""
    values = [run[name] for run in runs if run.get(name) is not None]
    return statistics.median(values) if values else None


def medians(found: dict[str, list[Counts]], name: str) -> dict[str, float | None]:
    """{server: median of the figure}."""
    return {server: median(runs, name) for server, runs in found.items()}


def worst(found: dict[str, list[Counts]], *names: str) -> dict[str, float | None]:
    """{server: the worst sum of these counts in any run}: what is lost in one run is not made good by the others."""
    return {server: max((sum(run[n] for n in names) for run in runs), default=None) for server, runs in found.items()}


def ratio(values: dict[str, float | None], base: str) -> dict[str, float | None]:
    """{server: times the figure of `base`}."""
    below = values.get(base)
    return {server: value / below if value is not None and below else None for server, value in values.items()}


def rooms_of(count: int, members: int) -> dict[str, int]:
    """{room: members}."""
    return {f"bench-{n}": members for n in range(count)}
