"""A calendar replayed through the scaler's policy, minute by minute: what it would have done, and was that enough? PURE."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from realtime.policy.forecast import SPREAD, Booking, Correction, Forecast
from realtime.policy.scaling import SHARE_CONNECTIONS, Limits, Load, Orders, Past, desired_workers

STEP_S = 60.0
ARRIVE_S = 900.0
"""People come and go over a quarter of an hour; the calendar knows phases only."""
START_S = 60.0
"""From the decision to a worker that takes people."""
MARGIN_S = 7_200.0
"""Replayed before the first and after the last wedding, to show how it comes up and goes down again."""


class Point(Struct, frozen=True):
    """One minute, UTC seconds."""

    at_s: float
    forecast: float
    """People the calendar expects, corrected by what was seen so far."""
    actual: float
    have: int
    """Workers that take people."""
    want: int
    reason: str
    formula: str


class Simulation(Struct, frozen=True):
    """The day. `short_min`: minutes with fewer workers than those who came needed, up to the most there may be."""

    points: list[Point]
    ups: int
    downs: int
    reversals_in_an_hour: int
    """The most changes of direction within any hour."""
    short_min: int
    unknown: list[str]


def actual_people(bookings: Sequence[Booking], seed: int, turnout: float = 1.0) -> Callable[[float], float]:
    """How many really come: each wedding off its forecast by its own factor, phases taken over a quarter of an hour."""
    rng = random.Random(seed)
    factors = [max(0.1, turnout * rng.gauss(1.0, SPREAD)) for _ in bookings]
    ramps: list[tuple[float, float]] = []
    for booking, factor in zip(bookings, factors, strict=True):
        sizes = [0.0, *(sum(roles.values()) for roles in booking.by_phase), 0.0]
        ramps += [
            (at_s, factor * (after - before)) for at_s, (before, after) in zip(booking.begins_s, pairwise(sizes), strict=True)
        ]

    def people(at_s: float) -> float:
        return max(
            0.0, sum(change * min(1.0, max(0.0, (at_s - from_s) / ARRIVE_S)) for from_s, change in ramps if from_s < at_s)
        )

    return people


def simulate(
    bookings: Sequence[Booking],
    limits: Limits,
    *,
    seed: int = 1,
    turnout: float = 1.0,
    progress: Callable[[float], None] = lambda share: None,
) -> Simulation:
    """Replay the days of `bookings`. `turnout`: how many people come in truth for each one expected."""
    forecast = Forecast(bookings)
    if not forecast.bookings:
        return Simulation([], 0, 0, 0, 0, forecast.unknown)
    people = actual_people(forecast.bookings, seed, turnout)
    begins_s = min(booking.begins_s[0] for booking in forecast.bookings) - MARGIN_S
    ends_s = max(booking.begins_s[-1] for booking in forecast.bookings) + MARGIN_S
    steps = int((ends_s - begins_s) // STEP_S)
    points: list[Point] = []
    past, correction, workers, started_s = Past(), Correction(), limits.least, begins_s
    ready = workers
    for step in range(steps + 1):
        now_s = begins_s + step * STEP_S
        if workers > ready and now_s - started_s >= START_S:
            ready = workers
        actual = people(now_s)
        correction = correction.step(actual, forecast.expected(now_s), now_s)
        need = forecast.need(now_s, correction.rho)
        load = Load(workers=workers, connections=round(actual))
        decision, past = desired_workers(load, need, limits, Orders(mode="auto"), past, now_s)
        points.append(
            Point(now_s, correction.rho * need.expected_now, actual, ready, decision.want, decision.reason, decision.formula)
        )
        if decision.act:
            workers, started_s = decision.want, now_s
            ready = min(ready, workers)
        progress((step + 1) / (steps + 1))
    return _judged(points, limits, forecast.unknown)


def _judged(points: list[Point], limits: Limits, unknown: list[str]) -> Simulation:
    moves = [(b.at_s, 1 if b.want > a.want else -1) for a, b in pairwise(points) if a.want != b.want]
    turns = [at_s for (_, before), (at_s, after) in pairwise(moves) if before != after]
    crowded = max((sum(at_s <= turn < at_s + 3_600 for turn in turns) for at_s in turns), default=0)
    room = SHARE_CONNECTIONS * limits.connections
    short = sum(point.have < min(limits.most, math.ceil(point.actual / room)) for point in points)
    return Simulation(
        points=points,
        ups=sum(direction > 0 for _, direction in moves),
        downs=sum(direction < 0 for _, direction in moves),
        reversals_in_an_hour=crowded,
        short_min=short,
        unknown=unknown,
    )
