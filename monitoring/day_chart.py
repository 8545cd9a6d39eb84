"""A simulated day as a picture: people expected and come, room for them, workers. SVG, or HTML for a browser. PURE."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from itertools import pairwise
from zoneinfo import ZoneInfo

from realtime.policy.scaling import SHARE_CONNECTIONS, Limits
from realtime.policy.simulation import Point, Simulation

WIDTH, LEFT, RIGHT = 1_080, 84, 1_060
PEOPLE = (84, 352)
"""Top and bottom of the upper picture, pixels."""
WORKERS = (396, 472)
HEIGHT = 530
HOUR_S = 3_600
STYLE = """
svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#5b6472}.title{font-size:17px;font-weight:600;fill:#1c2430}
.grid{stroke:#e4e8ee}.room{fill:#dbeafe;stroke:#60a5fa}.actual{fill:none;stroke:#db2777;stroke-width:2}
.forecast{fill:none;stroke:#334155;stroke-width:1.5;stroke-dasharray:5 4}.workers{fill:#c7d2fe;stroke:#6366f1}
@media(prefers-color-scheme:dark){svg{background:#111827}text{fill:#9ca3af}.title{fill:#f3f4f6}.grid{stroke:#273244}
.room{fill:#17304f;stroke:#3b82f6}.forecast{stroke:#cbd5e1}.workers{fill:#312e81;stroke:#818cf8}.actual{stroke:#f472b6}}
"""


def nice_top(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten: what an axis ends with."""
    scale = 10.0 ** math.floor(math.log10(max(1.0, value)))
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= value)


def day_chart(day: Simulation, limits: Limits, title: str, zone: ZoneInfo) -> str:
    """The SVG. Hours are shown in UTC and in `zone`. Raises ValueError for a day without weddings."""
    points = day.points
    if not points:
        raise ValueError("There is no wedding on that day.")
    from_s, to_s = points[0].at_s, points[-1].at_s
    room = SHARE_CONNECTIONS * limits.connections
    top = nice_top(max(max(p.actual, p.forecast, p.have * room) for p in points))
    most = max(max(p.have, p.want) for p in points)

    def x(at_s: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (at_s - from_s) / (to_s - from_s), 1)

    people, workers = _scale(PEOPLE, top), _scale(WORKERS, float(most))
    parts = [
        f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>',
        f'<text x="{LEFT}" y="46">{escape(summary(day, limits))}</text>',
        *_hours(from_s, to_s, x, zone),
        *_levels(people, [top * part / 4 for part in range(5)], "people"),
        *_levels(workers, [0.0, float(most)], "workers"),
        f'<path class="room" d="{_steps(points, x, people, lambda p: p.have * room)}"/>',
        f'<polyline class="forecast" points="{_line(points, x, people, lambda p: p.forecast)}"/>',
        f'<polyline class="actual" points="{_line(points, x, people, lambda p: p.actual)}"/>',
        f'<path class="workers" d="{_steps(points, x, workers, lambda p: float(p.have))}"/>',
        *_legend(),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</svg>\n"


def summary(day: Simulation, limits: Limits) -> str:
    """The day in one sentence."""
    peak = max(point.actual for point in day.points)
    enough = "enough at every minute" if not day.short_min else f"too few for {day.short_min} min"
    return (
        f"{peak:,.0f} people at the peak, up to {max(p.have for p in day.points)} workers of {limits.connections:,.0f}; "
        f"{day.ups} times up, {day.downs} down, at most {day.reversals_in_an_hour} turn an hour; {enough}."
    )


def day_page(day: Simulation, limits: Limits, title: str, zone: ZoneInfo) -> str:
    """The SVG in a page of its own, with every decision below it."""
    rows = "".join(
        f"<tr><td>{_clock(b.at_s, UTC)}<td>{_clock(b.at_s, zone)}<td>{a.want} → {b.want}<td>{escape(b.reason)}"
        f"<td>{b.forecast:,.0f}<td>{b.actual:,.0f}"
        for a, b in pairwise(day.points)
        if a.want != b.want
    )
    unknown = f"<p>Not counted, they say nothing of their people: {escape(', '.join(day.unknown))}.</p>" if day.unknown else ""
    style = (
        "body{font:15px system-ui,sans-serif;max-width:1100px;margin:24px auto;padding:0 12px;color-scheme:light dark}"
        "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:4px 10px;border-bottom:1px solid #8884}"
        "svg{width:100%;height:auto;border-radius:8px}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{style}</style>{day_chart(day, limits, title, zone)}{unknown}"
        f"<h2>Decisions</h2><table><tr><th>UTC<th>{escape(zone.key)}<th>workers<th>why<th>expected<th>there{rows}</table></html>\n"
    )


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
    return f"{''.join(moves)}H{x(points[-1].at_s)}V{y(0)}Z"


def _clock(at_s: float, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_s, zone):%H:%M}"


def _hours(from_s: float, to_s: float, x: Callable[[float], float], zone: ZoneInfo) -> list[str]:
    every_s = HOUR_S * (2 if to_s - from_s < 40 * HOUR_S else 6)
    found = []
    for at_s in range(math.ceil(from_s / every_s) * every_s, int(to_s) + 1, every_s):
        found.append(f'<line class="grid" x1="{x(at_s)}" x2="{x(at_s)}" y1="{PEOPLE[0]}" y2="{WORKERS[1]}"/>')
        found.append(f'<text x="{x(at_s)}" y="{WORKERS[1] + 18}" text-anchor="middle">{_clock(at_s, UTC)}</text>')
        found.append(f'<text x="{x(at_s)}" y="{WORKERS[1] + 34}" text-anchor="middle">{_clock(at_s, zone)}</text>')
    city = zone.key.rpartition("/")[2].replace("_", " ")
    found.append(f'<text x="4" y="{WORKERS[1] + 18}">UTC</text><text x="4" y="{WORKERS[1] + 34}">{escape(city[:9])}</text>')
    return found


def _levels(y: Callable[[float], float], values: Sequence[float], what: str) -> list[str]:
    lines = [f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y(v)}" y2="{y(v)}"/>' for v in values]
    texts = [f'<text x="{LEFT - 6}" y="{y(v) + 4}" text-anchor="end">{v:,.0f}</text>' for v in values]
    return [*lines, *texts, f'<text x="{LEFT}" y="{y(values[-1]) - 8}">{what}</text>']


def _legend() -> list[str]:
    entries = [("room", "room at 70 %"), ("forecast", "expected"), ("actual", "there"), ("workers", "workers")]
    found = []
    for index, (name, words) in enumerate(entries):
        at = 560 + 130 * index
        found.append(f'<path class="{name}" d="M{at} 520h22v-8h-22z"/><text x="{at + 28}" y="521">{words}</text>')
    return found
