"""A play as pictures: p99 of each priority over time, people connected, workers ready. SVG. PURE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from monitoring.day_chart import nice_top
from realtime.drills.course import DayClock

WIDTH, LEFT, RIGHT, TOP = 720, 58, 708, 14
HEIGHT = 190
EVERY_H = 3
LEAST_MS, GOAL_MS = 1.0, 100.0
PRIORITIES = ("P0", "P1", "P2", "P3")
Harms = list[tuple[float, float]]


def latency_chart(curve: Sequence[dict[str, Any]], length_s: float, harms: Harms, day: DayClock | None = None) -> str:
    """p99 over time on a logarithmic scale, since an outage is a thousand times slower than a good second."""
    most = max((value for point in curve for value in point["p99_ms"].values()), default=GOAL_MS)
    decades = max(3, math.ceil(math.log10(max(most, LEAST_MS * 1.01))))

    def y(value_ms: float) -> float:
        share = math.log10(max(LEAST_MS, value_ms)) / decades
        return round(HEIGHT - (HEIGHT - TOP) * share, 1)

    parts = [*_shaded(harms, length_s), *_times(length_s, day)]
    for power in range(decades + 1):
        parts += _level(y(10.0**power), f"{10**power:,}")
    parts.append(f'<line class="promise" x1="{LEFT}" x2="{RIGHT}" y1="{y(GOAL_MS)}" y2="{y(GOAL_MS)}"/>')
    for name in PRIORITIES:
        points = [(point["at_s"], point["p99_ms"].get(name)) for point in curve]
        path = _path([(_x(at_s, length_s), None if value is None else y(value)) for at_s, value in points], joined=True)
        parts.append(f'<path class="curve {name.lower()}" d="{path}"/>')
    return _svg(parts, f"p99 of each priority over {length_s:.0f} s, at most {most:,.0f} ms", HEIGHT + 22)


def count_chart(
    samples: Sequence[dict[str, Any]], name: str, length_s: float, harms: Harms, day: DayClock | None = None, height: int = 110
) -> str:
    """How many `name` ("people", "workers") there were, in steps. "" when nobody counted."""
    known = [sample[name] for sample in samples if sample[name] is not None]
    if not known:
        return ""
    top = nice_top(max(known) * 1.05) if name == "people" else float(max(known) + 1)

    def y(value: float) -> float:
        return round(height - (height - TOP) * value / top, 1)

    parts = [*_shaded(harms, length_s, height), *_times(length_s, day, height)]
    for value in (0.0, top / 2, top) if name == "people" else tuple(float(n) for n in range(int(top) + 1)):
        parts += _level(y(value), f"{value:,.0f}")
    steps: list[tuple[float, float | None]] = []
    for sample in samples:
        here = None if sample[name] is None else y(sample[name])
        x = _x(sample["at_s"], length_s)
        if steps and here is not None and steps[-1][1] is not None:
            steps.append((x, steps[-1][1]))
        steps.append((x, here))
    parts.append(f'<path class="curve" d="{_path(steps)}"/>')
    return _svg(parts, f"{name} over {length_s:.0f} s, from {min(known):,} to {max(known):,}", height + 22)


def _x(at_s: float, length_s: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, at_s / length_s)), 1)


def _path(points: Sequence[tuple[float, float | None]], *, joined: bool = False) -> str:
    """A None lifts the pen; `joined`: only where nothing was heard for longer, since rare kinds are heard now and then."""
    parts, down = [], False
    for x, y in points:
        if y is not None:
            parts.append(f"{'L' if down else 'M'}{x} {y}")
            down = True
        elif not joined:
            down = False
    if len(parts) == 1:
        parts.append("h2")
    return "".join(parts)


def _shaded(harms: Harms, length_s: float, height: int = HEIGHT) -> list[str]:
    spans = [(_x(start_s, length_s), _x(end_s, length_s)) for start_s, end_s in harms]
    return [
        f'<rect class="harm" x="{start}" y="{TOP}" width="{max(2.0, round(end - start, 1))}" height="{height - TOP}"/>'
        for start, end in spans
    ]


def _times(length_s: float, day: DayClock | None, height: int = HEIGHT) -> list[str]:
    """Below the curves: seconds of the play, or every third hour of the day that is played."""
    if day is None:
        step_s = nice_top(length_s / 8)
        marks = [(n * step_s, _clock(n * step_s)) for n in range(int(length_s / step_s) + 1)]
    else:
        opens, step_s = day.at(0.0), EVERY_H * 3_600 / day.speed
        first_s = (EVERY_H * 3_600 - (opens.hour % EVERY_H * 3_600 + opens.minute * 60 + opens.second)) / day.speed
        times = [first_s + n * step_s for n in range(int((length_s - first_s) / step_s) + 1)]
        marks = [(at_s, f"{day.at(at_s):%H:%M}") for at_s in times]
    return [f'<text class="column" x="{_x(at_s, length_s)}" y="{height + 16}">{escape(said)}</text>' for at_s, said in marks]


def _clock(at_s: float) -> str:
    return f"{at_s:g} s" if at_s < 120 else f"{at_s / 60:.3g} min"


def _level(y: float, label: str) -> list[str]:
    return [
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>',
        f'<text class="row" x="{LEFT - 6}" y="{y}">{label}</text>',
    ]


def _svg(parts: Sequence[str], label: str, height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
