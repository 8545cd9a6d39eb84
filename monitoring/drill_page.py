"""The report of a drill as a page of its own: a verdict in words, charts, tables, no script."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from django.template.loader import render_to_string
from django.utils import timezone

from monitoring.drill_chart import PRIORITIES, Harms, count_chart, latency_chart
from monitoring.models.drills import DrillRun
from realtime.drills.course import DayClock

STYLE = (Path(__file__).parent / "drill_report.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PROMISES = {
    "lost": "lost",
    "twice": "shown twice",
    "out_of_order": "out of order",
    "leaked": "shown to a role that may not see it",
    "phantom": "shown, but nobody sent it",
    "stored_twice": "stored twice",
    "hole": "a hole in the stream",
}
URGENT = ("P0", "P1")
PRIORITY_ABOUT = {"P0": "emergencies", "P1": "cues and changes", "P2": "chat and check-in", "P3": "reactions and the like"}
LEGEND = [(name, name.lower(), about) for name, about in PRIORITY_ABOUT.items()]
LEGEND += [("the goal", "g", "of P0 and P1"), ("injection", "h", "until it was over")]
SORTS = {"injection": "injection", "restoration": "over", "detection": "noticed", "alert": "alert"}


def html(run: DrillRun, last: DrillRun | None) -> str:
    """The whole page. `last`: the run to compare with. Times are UTC."""
    result: dict[str, Any] = run.result
    load, day = _load(run), _day(result)

    def when(at_s: float) -> str:
        return f"{at_s:.1f} s" if day is None else f"{day.at(at_s):%H:%M}"

    context = {
        "run": run,
        "style": STYLE,
        "title": result.get("title") or f"Drill {run.name}",
        "verdict": run.verdict or "Everything acknowledged was seen, once, in order, by those who may; all goals were kept.",
        "story": result.get("story") or [_sentence(load)],
        "headline": _headline(result, load),
        "declared": [(name, result["declared"][name]) for name in result.get("declared", {})],
        "legend": LEGEND,
        "latencies": _latencies(result, load),
        "promises": _promises(load),
        "moments": [m | {"at": when(m["at_s"]), "sort": SORTS.get(m["sort"], "")} for m in result.get("moments", [])],
        "alarms": [a | {"at": None if a["at_s"] is None else when(a["at_s"])} for a in result.get("alarms", [])],
        "played_day": day is not None,
        "facts": [(words(name), value_of(name, value)) for name, value in result.get("facts", {}).items()],
        "conditions": [(words(name), value) for name, value in (run.options | result.get("about", {})).items()],
        "last": last,
        "alike": last is not None and _alike(last) == _alike(run),
        "last_options": "" if last is None else ", ".join(f"{n} {v}" for n, v in last.options.items()),
        "compared": [] if last is None else compared(run, last),
    }
    with timezone.override("UTC"):
        return render_to_string("monitoring/drill_report.html", context | _charts(result, load))


def _load(run: DrillRun) -> dict[str, Any]:
    """The play; runs of `load` from before all drills were kept alike have it at the top."""
    load: dict[str, Any] = run.result.get("load", run.result)
    return load


def _day(result: Mapping[str, Any]) -> DayClock | None:
    return msgspec.convert(result["day"], DayClock) if result.get("day") else None


def _charts(result: Mapping[str, Any], load: Mapping[str, Any]) -> dict[str, Any]:
    curve, samples = result.get("curve", []), result.get("samples", [])
    if len(curve) < 2:
        return {}
    length_s = max(load["duration_s"], curve[-1]["at_s"], *(sample["at_s"] for sample in samples))
    harm, day = harms_of(result.get("moments", [])), _day(result)
    counts = [
        (title, svg)
        for name, title in (("people", "People connected"), ("workers", "Workers ready"))
        if (svg := count_chart(samples, name, length_s, harm, day))
    ]
    return {"latency_chart": latency_chart(curve, length_s, harm, day), "counts": counts}


def harms_of(moments: list[dict[str, Any]]) -> Harms:
    """[(injection, restoration)], seconds of the play."""
    found: Harms = []
    for moment in moments:
        if moment["sort"] == "injection" and (not found or found[-1][1] < math.inf):
            found.append((moment["at_s"], math.inf))
        elif moment["sort"] == "restoration" and found:
            found[-1] = (found[-1][0], moment["at_s"])
    return found


def _sentence(load: Mapping[str, Any]) -> str:
    return (
        f"{load['connections']:,} people in {load['rooms']:,} weddings said {load['publishes']:,} things in "
        f"{load['duration_s']:g} seconds, which were shown {load['deliveries']:,} times."
    )


def urgent_ms(result: Mapping[str, Any]) -> float | None:
    """p99 of emergencies, cues and changes, where something was broken before and after it. None: nothing was measured."""
    phases = result.get("phases", {}) if _injected(result) else {}
    measured = [phases[n][p] for n in URGENT for p in ("before", "after") if n in phases]
    latency = result.get("load", result)["latency"]
    measured = measured or [latency[name] for name in URGENT if latency.get(name)]
    return max((part["p99_ms"] for part in measured if part["p99_ms"] is not None), default=None)


def _injected(result: Mapping[str, Any]) -> bool:
    return any(moment["sort"] == "injection" for moment in result.get("moments", []))


def _headline(result: Mapping[str, Any], load: Mapping[str, Any]) -> list[tuple[str, str]]:
    broken = {violation["name"]: violation["count"] for violation in load["violations"]}
    urgent = urgent_ms(result)
    when = "Urgent, while nothing is broken: 99 of 100 within" if _injected(result) else "Urgent, 99 of 100 within"
    return [
        ("People", f"{load['connections']:,}"),
        ("Lost", f"{broken.get('lost', 0):,}"),
        ("Shown twice", f"{broken.get('twice', 0):,}"),
        ("Out of order", f"{broken.get('out_of_order', 0):,}"),
        (when, "not measured" if urgent is None else f"{urgent:,.0f} ms"),
        ("Reconnections", f"{load['reconnects']:,}"),
    ]


def _latencies(result: Mapping[str, Any], load: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """[(priority, before | during | after, figures)]; a play without an injection is one row."""
    rows = []
    for name in PRIORITIES:
        phases = [(p, m) for p, m in result.get("phases", {}).get(name, {}).items() if m["count"]]
        if len(phases) < 2:
            phases = [("", load["latency"][name])] if load["latency"].get(name, {}).get("count") else []
        for phase, measured in phases:
            quantiles = ["–" if measured[q] is None else f"{measured[q]:,.1f}" for q in ("p50_ms", "p95_ms", "p99_ms")]
            rows.append((name, phase, [f"{measured['count']:,}", *quantiles]))
    return rows


def _promises(load: Mapping[str, Any]) -> list[tuple[str, int, str, str]]:
    found = {violation["name"]: violation for violation in load["violations"]}
    rows = []
    for name, said in PROMISES.items():
        violation = found.get(name, {"count": 0, "first": [], "sentence": ""})
        rows.append((said, violation["count"], "; ".join(violation["first"]), violation["sentence"]))
    return rows


def compared(run: DrillRun, last: DrillRun) -> list[tuple[str, str, str]]:
    """[(figure, now, then)]: latencies and what the drill measured, where both have it."""
    rows: list[tuple[str, str, str]] = []
    now, then = _load(run), _load(last)
    for name in PRIORITIES:
        here, there = (load["latency"].get(name, {}).get("p99_ms") for load in (now, then))
        if here is not None and there is not None:
            rows.append((f"{name} p99, ms", f"{here:,.1f}", f"{there:,.1f}"))
    facts, before = run.result.get("facts", {}), last.result.get("facts", {})
    for name, value in facts.items():
        if isinstance(value, int | float) and isinstance(before.get(name), int | float):
            rows.append((words(name), value_of(name, value), value_of(name, before[name])))
    for name in ("publishes", "deliveries", "reconnects", "gaps"):
        rows.append((words(name), f"{now[name]:,}", f"{then[name]:,}"))
    return rows


def _alike(run: DrillRun) -> dict[str, Any]:
    return {name: value for name, value in run.options.items() if name != "seed"}


def words(name: str) -> str:
    """A field's name as one says it: its unit at the end."""
    for ending, unit in (("_s", ", s"), ("_ms", ", ms"), ("_bytes", ", MB"), ("_us_each", ", µs each")):
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " ") + unit
    return name.replace("_", " ")


def value_of(name: str, value: Any) -> str:
    """A figure as one reads it."""
    if value is None:
        return "not measured"
    if name.endswith("_bytes") and isinstance(value, int | float):
        return f"{value / 1e6:,.1f}"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
