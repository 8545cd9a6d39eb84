"""Runs rows of the benchmark: ours and the peers in the same run, medians, as Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
os.environ.setdefault("SECRET_KEY", "of this benchmark")
os.environ["WEDSYNC_LOAD_TESTING"] = "1"

import django  # noqa: E402

django.setup()

from bench.machine import CannotMeasure, cores  # noqa: E402
from bench.peers import MISSING, OURS, PEERS, TITLES  # noqa: E402
from bench.rows import ROWS  # noqa: E402
from bench.rows.base import Figures, Row, Run  # noqa: E402


def main() -> int:
    """0: measured, 1: something could not be, 2: misuse."""
    options = arguments().parse_args()
    unknown = [name for name in options.peers if name not in PEERS]
    if unknown:
        sys.stderr.write(f"there is no peer {unknown[0]!r}; {', '.join(PEERS)}\n")
        return 2
    if strange := [name for name in options.rows if name not in ROWS]:
        sys.stderr.write(f"there is no row {strange[0]!r}; {', '.join(ROWS)}\n")
        return 2
    found, failed = {}, False
    for name in options.rows or ROWS:
        row = ROWS[name]
        servers = [OURS, *(peer for peer in row.peers if peer in options.peers)]
        found[name], missing = measured(row, servers, options.runs, options.quick)
        failed |= OURS in missing
        sys.stdout.write(markdown(row, found[name], missing) + "\n")
        sys.stdout.flush()
        if options.json:
            about = {"runs": options.runs, "quick": options.quick, "cores": os.cpu_count()}
            Path(options.json).write_text(json.dumps({"about": about, "rows": found}, indent=1) + "\n")
    return int(failed)


def arguments() -> argparse.ArgumentParser:
    """What `script/bench` takes."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)} (default: all)")
    others = ", ".join(name for name in PEERS if name != OURS)
    parser.add_argument("--peers", type=names, default=list(PEERS), metavar="A,B", help=f"of {others}; '' for ours alone")
    parser.add_argument("--runs", type=int, default=3, help="medians of so many (default 3)")
    parser.add_argument("--quick", action="store_true", help="shorter runs, for a look")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, after each row")
    return parser


def names(text: str) -> list[str]:
    """A list on the command line."""
    return [name for name in text.split(",") if name]


def measured(row: Row, servers: list[str], runs: int, quick: bool) -> tuple[dict[str, Figures], dict[str, str]]:
    """({server: medians}, {server: why it could not be measured}). One after the other, run by run: a noise hits all."""
    results: dict[str, list[Figures]] = {server: [] for server in servers}
    missing: dict[str, str] = {}
    core, load_core = cores()
    for number in range(runs):
        for server in servers:
            if server in missing:
                continue
            if hint := MISSING.get(server, lambda: "")():
                missing[server] = f"not installed: {hint}"
                continue
            sys.stderr.write(f"{row.name}: {TITLES[server]}, {number + 1} of {runs}\n")
            with tempfile.TemporaryDirectory(prefix="wedsync-bench-") as folder:
                try:
                    results[server].append(row.measure(Run(server, PEERS[server], Path(folder), core, load_core, quick)))
                except CannotMeasure as error:
                    missing[server] = str(error)
    return {server: median(found) for server, found in results.items() if found}, missing


def median(runs: list[Figures]) -> Figures:
    """Of numbers the median, of texts all that differ."""
    figures: Figures = {}
    for name in runs[0]:
        values = [run.get(name) for run in runs]
        numbers = [value for value in values if isinstance(value, int | float)]
        texts = dict.fromkeys(value for value in values if isinstance(value, str))
        figures[name] = statistics.median(numbers) if numbers else " / ".join(texts) or None
    return figures


def markdown(row: Row, results: dict[str, Figures], missing: dict[str, str]) -> str:
    """The table of a row; the last column is how many times better we are."""
    ours: Any = results.get(OURS, {}).get(row.best)
    lines = [f"\n### {row.name}: {row.title}\n", "| | " + " | ".join(row.columns.values()) + " | WedSync is |"]
    lines.append("|---" * (len(row.columns) + 2) + "|")
    for server, figures in results.items():
        cells = [shown(figures.get(name)) for name in row.columns]
        theirs: Any = figures.get(row.best)
        ratio = (ours / theirs if row.more else theirs / ours) if ours and theirs and server != OURS else None
        lines.append(f"| {TITLES[server]} | " + " | ".join(cells) + f" | {f'{ratio:.2f} x' if ratio else ''} |")
    lines += [f"\n{TITLES[server]}: {why}" for server, why in missing.items()]
    return "\n".join(lines)


def shown(value: float | str | None) -> str:
    """A figure with three significant digits or so."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
