"""A day as a picture: people expected and come, room for them, workers. SVG, or HTML for a browser. PURE."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from itertools import pairwise
from zoneinfo import ZoneInfo

from msgspec import Struct

from realtime.policy.scaling import SHARE_CONNECTIONS, Limits
from realtime.policy.simulation import Point, Simulation

EVERY_S = tuple(60 * minutes for minutes in (5, 15, 30, 60, 120, 180, 360, 720, 1_440))
LEVELS_MOST = 5
STYLE = """
svg{font:12px system-ui,sans-serif}svg text{fill:#5b6472}svg .title{font-size:17px;font-weight:600;fill:#1c2430}
.paper{fill:#fff}.grid{stroke:#e4e8ee}.room{fill:#dbeafe;stroke:#60a5fa}.full{fill:none;stroke:#60a5fa;stroke-dasharray:2 4}
.actual{fill:none;stroke:#db2777;stroke-width:2}.forecast{fill:none;stroke:#334155;stroke-width:1.5;stroke-dasharray:5 4}
.workers{fill:#c7d2fe;stroke:#6366f1}
@media(prefers-color-scheme:dark){svg text{fill:#9ca3af}svg .title{fill:#f3f4f6}.paper{fill:#111827}.grid{stroke:#273244}
.room{fill:#17304f;stroke:#3b82f6}.full{stroke:#3b82f6}.forecast{stroke:#cbd5e1}.workers{fill:#312e81;stroke:#818cf8}
.actual{stroke:#f472b6}}
"""
PAGE_STYLE = """
body{font:15px system-ui,sans-serif;max-width:1100px;margin:24px auto;padding:0 12px}:root{color-scheme:light dark}
h1{font-size:1.35rem;margin-bottom:.2em}h2{font-size:1.1rem}p{margin:.3em 0 1em}svg{width:100%;height:auto;border-radius:8px}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:4px 10px;border-bottom:1px solid #8884}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.narrow{display:none}
@media(max-width:640px){.narrow{display:block}.wide{display:none}td,th{padding:4px 6px;font-size:13px}}
"""


class Sheet(Struct, frozen=True):
    """Where things are drawn, pixels. `people`, `workers`: top and bottom of the two pictures. `times_most`: on its axis."""

    width: int
    left: int
    right: int
    people: tuple[int, int]
    workers: tuple[int, int]
    height: int
    times_most: int
    legend: tuple[tuple[int, int], ...]
    """Where its entries stand."""


WIDE = Sheet(1_080, 84, 1_060, (84, 352), (396, 472), 534, 15, tuple((84 + 196 * n, 524) for n in range(5)))
NARROW = Sheet(
    380, 86, 372, (84, 300), (340, 400), 512, 5, ((86, 452), (86, 474), (86, 496), (236, 452), (236, 474))
)  # for a phone: nothing is read there that was made smaller with the picture
LEGEND = (
    ("actual", "people there"),
    ("forecast", "expected"),
    ("workers", "workers"),
    ("room", "room at 70 %"),
    ("full", "all there is"),
)


def nice_top(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten: what an axis ends with."""
    scale = 10.0 ** math.floor(math.log10(max(1.0, value)))
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= value)


def levels(value: float) -> list[float]:
    """The marks of an axis from 0 to just above `value`, at most `LEVELS_MOST` steps."""
    step = nice_top(value / LEVELS_MOST)
    return [step * n for n in range(math.ceil(value / step) + 1)]


def day_chart(day: Simulation, limits: Limits, title: str, zone: ZoneInfo, sheet: Sheet = WIDE, *, alone: bool = True) -> str:
    """The SVG. Hours are shown in UTC and in `zone`. `alone`: with title and summary in it. Raises ValueError for a day without
    weddings."""
    points = day.points
    if not points:
        raise ValueError("There is no wedding on that day.")
    from_s, to_s = points[0].at_s, points[-1].at_s
    room = SHARE_CONNECTIONS * limits.connections
    marks = levels(max(max(p.actual, p.forecast, p.have * limits.connections) for p in points))
    most = max(max(p.have, p.want) for p in points)

    def x(at_s: float) -> float:
        return round(sheet.left + (sheet.right - sheet.left) * (at_s - from_s) / (to_s - from_s), 1)

    people, workers = _scale(sheet.people, marks[-1]), _scale(sheet.workers, float(most))
    top = 0 if alone else sheet.people[0] - 26
    said = [
        f'<text class="title" x="{sheet.left}" y="26">{escape(title)}</text>',
        f'<text x="{sheet.left}" y="46">{escape(summary(day, limits))}</text>',
    ]
    parts = [
        f'<rect class="paper" y="{top}" width="{sheet.width}" height="{sheet.height - top}"/>',
        *(said if alone else ()),
        *_hours(from_s, to_s, x, zone, sheet),
        *_levels(people, marks, "people", sheet),
        *_levels(workers, [0.0, float(most)], "workers", sheet),
        f'<path class="room" d="{_steps(points, x, people, lambda p: p.have * room)}Z"/>',
        f'<path class="full" d="{_steps(points, x, people, lambda p: p.have * limits.connections)}"/>',
        f'<polyline class="forecast" points="{_line(points, x, people, lambda p: p.forecast)}"/>',
        f'<polyline class="actual" points="{_line(points, x, people, lambda p: p.actual)}"/>',
        f'<path class="workers" d="{_steps(points, x, workers, lambda p: float(p.have))}Z"/>',
        *_legend(sheet),
    ]
    box = f"0 {top} {sheet.width} {sheet.height - top}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(title)}">'
    return f"{head}{f'<style>{STYLE}</style>' if alone else ''}{''.join(parts)}</svg>\n"


def summary(day: Simulation, limits: Limits) -> str:
    """The day in a few words."""
    peak, workers = max(point.actual for point in day.points), max(point.have for point in day.points)
    return (
        f"{peak:,.0f} people at the peak, up to {_count(workers, 'worker')} of {limits.connections:,.0f}; "
        f"{day.ups} times up, {day.downs} down, at most {_count(day.reversals_in_an_hour, 'turn')} an hour; "
        f"{_enough(day, limits)}."
    )


def _enough(day: Simulation, limits: Limits) -> str:
    """Whether there was room: at 70 % of each worker, or, with all that there may be, somewhere between that and the whole."""
    if day.short_min:
        return f"too few at {day.short_min:,} of {len(day.points):,} moments"
    all_there_is = [p for p in day.points if p.actual > limits.most * SHARE_CONNECTIONS * limits.connections]
    if not all_there_is:
        return "room at every moment"
    full = 100 * max(point.actual for point in all_there_is) / (limits.most * limits.connections)
    share = 100 * len(all_there_is) / len(day.points)
    return f"room at every moment, {share:.0f} % of them with all {limits.most} there may be, {full:.0f} % full at the most"


def day_page(day: Simulation, limits: Limits, title: str, zone: ZoneInfo) -> str:
    """The SVG in a page of its own, for wide screens and for phones, with every decision below it."""
    rows = "".join(
        f'<tr><td class="n">{_clock(b.at_s, zone)}<td class="n wide">{_clock(b.at_s, UTC)}<td class="n">{a.want} → {b.want}'
        f'<td>{escape(b.reason)}<td class="n">{b.actual:,.0f}<td class="n wide">{b.forecast:,.0f}</tr>'
        for a, b in pairwise(day.points)
        if a.want != b.want
    )
    unknown = f"<p>Not counted, they say nothing of their people: {escape(', '.join(day.unknown))}.</p>" if day.unknown else ""
    charts = "".join(
        f'<div class="{name}">{day_chart(day, limits, title, zone, sheet, alone=False)}</div>'
        for name, sheet in (("wide", WIDE), ("narrow", NARROW))
    )
    heads = f'<th class="n">{escape(_city(zone))}<th class="n wide">UTC<th class="n">workers<th>why'
    heads += '<th class="n">there<th class="n wide">expected'
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{PAGE_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{escape(summary(day, limits))}</p>{charts}{unknown}"
        f"<h2>Decisions</h2><table><tr>{heads}</tr>{rows}</table></html>\n"
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _scale(span: tuple[int, int], top: float) -> Callable[[float], float]:
    return lambda value: round(span[1] - (span[1] - span[0]) * value / top, 1)


def _line(
    points: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float], value: Callable[[Point], float]
) -> str:
    return " ".join(f"{x(p.at_s)},{y(value(p))}" for p in points)


def _steps(
    points: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float], value: Callable[[Point], float]
) -> str:
    moves = [f"M{x(points[0].at_s)} {y(0)}V{y(value(points[0]))}"]
    moves += [f"H{x(b.at_s)}V{y(value(b))}" for a, b in pairwise(points) if value(a) != value(b)]
    return f"{''.join(moves)}H{x(points[-1].at_s)}V{y(0)}"


def _clock(at_s: float, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_s, zone):%H:%M}"


def _city(zone: ZoneInfo) -> str:
    return zone.key.rpartition("/")[2].replace("_", " ")


def _hours(from_s: float, to_s: float, x: Callable[[float], float], zone: ZoneInfo, sheet: Sheet) -> list[str]:
    below = sheet.workers[1]
    every_s = next((s for s in EVERY_S if (to_s - from_s) / s <= sheet.times_most), EVERY_S[-1])
    found = []
    for at_s in range(math.ceil(from_s / every_s) * every_s, int(to_s) + 1, every_s):
        found.append(f'<line class="grid" x1="{x(at_s)}" x2="{x(at_s)}" y1="{sheet.people[0]}" y2="{below}"/>')
        found.append(f'<text x="{x(at_s)}" y="{below + 18}" text-anchor="middle">{_clock(at_s, UTC)}</text>')
        found.append(f'<text x="{x(at_s)}" y="{below + 34}" text-anchor="middle">{_clock(at_s, zone)}</text>')
    found.append(f'<text x="4" y="{below + 18}">UTC</text><text x="4" y="{below + 34}">{escape(_city(zone)[:9])}</text>')
    return found


def _levels(y: Callable[[float], float], values: Sequence[float], what: str, sheet: Sheet) -> list[str]:
    lines = [f'<line class="grid" x1="{sheet.left}" x2="{sheet.right}" y1="{y(v)}" y2="{y(v)}"/>' for v in values]
    texts = [f'<text x="{sheet.left - 6}" y="{y(v) + 4}" text-anchor="end">{v:,.0f}</text>' for v in values]
    return [*lines, *texts, f'<text x="{sheet.left}" y="{y(values[-1]) - 8}">{what}</text>']


def _legend(sheet: Sheet) -> list[str]:
    """Lines as lines, areas as areas."""
    found = []
    for (name, words), (x, y) in zip(LEGEND, sheet.legend, strict=True):
        shape = f"M{x} {y}h24v-9h-24z" if name in ("room", "workers") else f"M{x} {y - 4}h24"
        found.append(f'<path class="{name}" d="{shape}"/><text x="{x + 31}" y="{y}">{words}</text>')
    return found
