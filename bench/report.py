"""The outcome as a Markdown table and as JSON."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import msgspec

from bench.bench import Line, Outcome
from bench.peers import OURS, TITLES


def cell(value: float | None, digits: int) -> str:
    """A figure as a cell; what was not measured is a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def compared(line: Line, server: str) -> str:
    """The figure of a peer, and how ours stands to it: 7.0 x is seven times as good."""
    ours, theirs = line.values.get(OURS), line.values.get(server)
    text = cell(theirs, line.digits)
    if server == OURS or ours is None or not ours or not theirs or line.rising is None or line.what.startswith("... times"):
        return text
    better = ours / theirs if line.rising else theirs / ours
    return f"{text} ({better:.2g} x)" if better < 100 else f"{text} ({better:,.0f} x)"


def markdown(outcome: Outcome, peers: list[str]) -> str:
    """The table. In brackets: how many times better WedSync is than that server."""
    heads = ["row", "figure", "goal", *(TITLES[peer] for peer in peers)]
    rows = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    last = ""
    for line in outcome.lines:
        rows.append(
            ["" if line.row == last else line.row, line.what, line.goal or " ", *(compared(line, peer) for peer in peers)]
        )
        last = line.row
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    notes = "".join(f"\n- {note}" for note in outcome.notes)
    return f"{table}\n\nIn brackets: how many times better WedSync is.\n{notes}".rstrip() + "\n"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return {
        "cores": os.cpu_count(),
        "cpu": ", ".join(sorted(models)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def as_json(outcome: Outcome, about: dict[str, Any]) -> bytes:
    """Everything, with each single measurement."""
    return msgspec.json.format(msgspec.json.encode({"about": about, **msgspec.to_builtins(outcome)}), indent=1)
