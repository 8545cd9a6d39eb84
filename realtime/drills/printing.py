"""What a drill found, for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from realtime.drills.course import PHASES, Latency
from realtime.drills.faults import FaultResult
from realtime.drills.load import Result
from realtime.drills.series import Outcome
from realtime.drills.workloads import Profile

PROMISES = ("lost", "twice", "out_of_order", "phantom", "leaked", "stored_twice", "hole")


def print_list(console: Console, drills: Iterable[dict[str, Any]], profiles: Iterable[Profile]) -> None:
    """`drill list`. Each as `catalogue.about` tells it."""
    for drill in drills:
        size = (
            f"{drill['connections']:,} people, {drill['minutes']:g} min"
            if drill["connections"]
            else f"{drill['minutes']:g} min"
        )
        console.print(f"[bold]{drill['name']}[/]", end="  ")
        console.print(size + (", also --live" if drill["live"] else ""), style="dim")
        rows = [(name, drill[name]) for name in ("injects", "invariant", "recovery")]
        rows += [("alerts", ", ".join(drill["alerts"]))] if drill["alerts"] else []
        missing = [f"{need['name']} ({need['hint']})" for need in drill["needs"] if not need["met"]]
        rows += [("not here", f"it needs {', '.join(missing)}")] if missing else []
        for name, said in rows:
            console.print(f"  {name:<9}  {said}", markup=False, highlight=False)
    table = Table("--profile", "connections", "what it is")
    for profile in profiles:
        table.add_row(profile.name, f"{profile.connections:,}", profile.about)
    console.print(table)


LOOK = {"passed": "[green]passed[/]", "failed": "[bold red]failed[/]", "refused": "[yellow]refused[/]"}


def print_outcomes(console: Console, outcomes: Sequence[Outcome], took_s: float) -> None:
    """`drill all`."""
    table = Table("drill", "", "s", "what was found")
    for outcome in outcomes:
        took = f"{outcome.took_s:.0f}" if outcome.took_s else ""
        table.add_row(outcome.drill, LOOK[outcome.verdict], took, escape(outcome.said))
    console.print(table)
    counts: Counter[str] = Counter(outcome.verdict for outcome in outcomes)
    minutes, seconds = divmod(round(took_s), 60)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in LOOK) + f" in {minutes}:{seconds:02} minutes")


def print_result(console: Console, result: FaultResult) -> None:
    """Figures, latencies, facts, alerts, verdict."""
    load = result.load
    table = Table("figure", "value", title=f"drill {result.drill}: {load.profile}, {load.duration_s:g} s, seed {load.seed}")
    for name, value in figures(load):
        table.add_row(name, value)
    console.print(table)
    console.print(_latency(result))
    if result.facts or result.alarms:
        facts = Table("fact", "value")
        for fact, measured in result.facts.items():
            facts.add_row(fact.replace("_", " "), "not measured" if measured is None else str(measured))
        for alarm in result.alarms:
            when = "did not fire" if alarm.at_s is None else f"fired after {alarm.at_s:g} s"
            facts.add_row(
                f"alert {alarm.rule}",
                when + (", as it should" if alarm.required and alarm.at_s is not None else ""),
            )
        console.print(facts)
    if result.passed:
        console.print(
            "[bold green]PASS[/]: everything acknowledged was seen, once, in order, by those who may; all goals were kept"
        )
    else:
        console.print("[bold red]FAIL[/]", end=": ")
        console.print(result.reason, markup=False)


def _latency(result: FaultResult) -> Table:
    table = Table("priority", "", "seen", "p50 ms", "p95 ms", "p99 ms", title="from the intended moment to the screen")
    for name, whole in result.load.latency.items():
        parts: list[tuple[str, Latency | None]] = [(phase, result.phases.get(name, {}).get(phase)) for phase in PHASES]
        told = [(phase, part) for phase, part in parts if part is not None and part.count]
        rows = told if len(told) > 1 else [("", whole)]
        for phase, part in rows:
            quantiles = (part.p50_ms, part.p95_ms, part.p99_ms)
            table.add_row(name, phase, f"{part.count:,}", *("not measured" if v is None else f"{v:.1f}" for v in quantiles))
    return table


def figures(result: Result) -> list[tuple[str, str]]:
    """[(name, value)] of a play."""
    broken = {violation.name: violation.count for violation in result.violations}
    ephemeral = f"{result.ephemeral_delivered:,} of {result.ephemeral_expected:,}"
    refused = ", ".join(f"{n} {code}" for code, n in result.refused.items()) or "0"
    return [
        ("connections in weddings", f"{result.connections:,} in {result.rooms:,}"),
        ("publishes", f"{result.publishes:,}"),
        ("deliveries", f"{result.deliveries:,}"),
        ("durable ones expected", f"{result.expected:,}"),
        *((name.replace("_", " "), str(broken.get(name, 0))) for name in PROMISES),
        ("ephemeral, delivered", ephemeral),
        ("refused by the server", refused),
        ("without an answer", str(result.unanswered)),
        ("reconnections, gaps healed, repeats ignored", f"{result.reconnects}, {result.gaps}, {result.repeats}"),
        ("CPU of this generator", f"{result.generator_cpu_percent:g} % of a core"),
    ]
