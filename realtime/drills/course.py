"""How a play went over time: latency before, during and after the injection, people connected, workers that are ready.

A latency belongs to the moment at which its publication was meant to be sent, however late it was seen. Memory is bounded: one
sparse histogram for each priority and slice of the play.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from realtime.histogram import Buckets, Histogram, index_of, merged
from realtime.kinds import Priority

SLICE_S = 0.5
POINTS_MAX = 240
"""Of a curve: more a screen does not show."""
Phase = Literal["before", "during", "after"]
PHASES: tuple[Phase, ...] = ("before", "during", "after")


class Latency(Struct, frozen=True):
    """From the intended moment to the screen, milliseconds; None: nothing was measured."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Moment(Struct, frozen=True):
    """Something that happened, seconds after the play began."""

    at_s: float
    sort: Literal["injection", "restoration", "detection", "alert"]
    said: str


class Sample(Struct, frozen=True):
    """One look. `workers`: those that are ready; None: nobody could be asked."""

    at_s: float
    people: int
    workers: int | None


class DayClock(Struct, frozen=True):
    """The clock of a day that is played faster than it is: `opens_s` UTC seconds at its beginning, shown as it is in `zone`."""

    opens_s: float
    speed: float
    zone: str

    def at(self, at_s: float) -> datetime:
        """When on that day it is `at_s` after the play began."""
        return datetime.fromtimestamp(self.opens_s + at_s * self.speed, ZoneInfo(self.zone))


class Point(Struct, frozen=True):
    """p99 of each priority in a part of the play that begins at `at_s`, milliseconds; a priority nobody heard is left out."""

    at_s: float
    p99_ms: dict[str, float]


class Course:
    """Filled while it is played. Nothing counts before `begin`."""

    def __init__(self) -> None:
        self.began_s = math.inf
        self.samples: list[Sample] = []
        self.moments: list[Moment] = []
        self._slices: dict[Priority, dict[int, Buckets]] = {priority: {} for priority in Priority}
        # Of these, what went between people who were there all the time from the intended moment to the screen.
        self._together: dict[Priority, dict[int, Buckets]] = {priority: {} for priority in Priority}

    def begin(self, now_s: float) -> None:
        """The play begins."""
        self.began_s = now_s

    def since_s(self, now_s: float) -> float:
        """Seconds since it began."""
        return round(now_s - self.began_s, 3) if math.isfinite(self.began_s) else 0.0

    def record(self, priority: Priority, latency_s: float, intended_s: float, *, together: bool = False) -> None:
        """Somebody was shown something that was meant to be sent at `intended_s`. Called for each delivery. `together`: its
        author and this one have both been connected since then."""
        after_s = intended_s - self.began_s
        if after_s >= 0:
            number, index = int(after_s / SLICE_S), index_of(latency_s)
            for slices in (self._slices, self._together) if together else (self._slices,):
                bucket = slices[priority].setdefault(number, {})
                bucket[index] = bucket.get(index, 0) + 1

    def harms(self) -> list[tuple[float, float]]:
        """[(injection, its restoration)] in seconds of the play; what was not restored lasts to the end."""
        found: list[tuple[float, float]] = []
        for moment in sorted(self.moments, key=lambda moment: moment.at_s):
            if moment.sort == "injection" and (not found or found[-1][1] < math.inf):
                found.append((moment.at_s, math.inf))
            elif moment.sort == "restoration" and found:
                found[-1] = (found[-1][0], moment.at_s)
        return found

    def phases(self) -> dict[str, dict[str, Latency]]:
        """{priority: {"before" | "during" | "after": latency}}. Without an injection everything is before it."""
        harms = self.harms()
        return {
            priority.name: {
                name: latency(Histogram(merged(b for number, b in slices.items() if _phase(number, harms) == name)))
                for name in PHASES
            }
            for priority, slices in self._slices.items()
        }

    def others(self, priorities: Iterable[Priority]) -> Latency:
        """During the injections, of what went between people who were connected all the time."""
        harms = self.harms()
        parts = (part for priority in priorities for part in self._together[priority].items())
        return latency(Histogram(merged(buckets for number, buckets in parts if _phase(number, harms) == "during")))

    def curve(self) -> list[Point]:
        """p99 over time, at most `POINTS_MAX` points."""
        last = max((number for slices in self._slices.values() for number in slices), default=0)
        width = math.ceil((last + 1) / POINTS_MAX)
        points = []
        for start in range(0, last + 1, width):
            parts = {
                priority.name: Histogram(merged(slices[n] for n in range(start, start + width) if n in slices)).quantile_ms(
                    0.99
                )
                for priority, slices in self._slices.items()
            }
            heard = {name: round(p99_ms, 2) for name, p99_ms in parts.items() if p99_ms is not None}
            points.append(Point(round(start * SLICE_S, 1), heard))
        return points


def _phase(number: int, harms: list[tuple[float, float]]) -> Phase:
    from_s, to_s = number * SLICE_S, (number + 1) * SLICE_S
    if not harms or to_s <= harms[0][0]:
        return "before"
    return "during" if any(start_s < to_s and from_s <= end_s for start_s, end_s in harms) else "after"


def latency(measured: Histogram) -> Latency:
    """Its count and quantiles."""
    p50, p95, p99 = (measured.quantile_ms(q) for q in (0.50, 0.95, 0.99))
    return Latency(len(measured), p50, p95, p99)
