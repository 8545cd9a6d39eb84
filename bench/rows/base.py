"""The shape of a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench.peers import Start

Figures = dict[str, float | str | None]
"""Of one run: numbers by column name; None: could not be measured."""


class Run(Struct, frozen=True):
    """One run of one server. `quick`: shorter, for a look."""

    name: str
    start: Start
    folder: Path
    core: int
    load_core: int
    quick: bool = False


class Row(Struct, frozen=True):
    """`columns`: {figure: heading}. `best`: the figure that ratios are made of, and whether more is better; "" for none.
    `peers`: who else can do this."""

    name: str
    title: str
    columns: dict[str, str]
    measure: Callable[[Run], Figures]
    peers: tuple[str, ...]
    best: str = ""
    more: bool = True


def rooms(count: int, members: int) -> dict[str, int]:
    """{name: members}, as the demo server seeds them."""
    return {f"bench-{n}": members for n in range(count)}


def faults(counts: dict[str, float]) -> str:
    """What was lost, doubled and out of order, as one text; "0" when nothing was."""
    found = [f"{int(counts[name])} {name.replace('_', ' ')}" for name in ("lost", "twice", "out_of_order") if counts[name]]
    return ", ".join(found) or "0"
