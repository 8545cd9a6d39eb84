"""How many workers. PURE: measured load and the calendar in, a decision with its reasons out. Formulas: ops.md 2.4.

Signals that add up are used as totals, so that a fresh, empty worker changes nothing; what only the worst worker shows (lag,
latency) counts when loads are even, and otherwise asks for a rebalance: a new worker would not help those who are connected.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from realtime.config import RealtimeConfig
from realtime.policy.forecast import Need
from realtime.policy.rebalancing import START

Mode = Literal["off", "advise", "auto"]

SHARE_CONNECTIONS, SHARE_DELIVERIES, SHARE_CPU, SHARE_JOINS, SHARE_MEMORY = 0.70, 0.60, 0.60, 0.50, 0.70
"""How much of a worker is used when all is well: what is left carries a burst, or a worker that died."""
LAG_S, P99_S = 0.025, 0.050
"""Half of the promise of 100 ms is used up."""
HOT_MOST = 1.5
HOT_LOOKS = 3
"""In a row: one stall of one worker is no load that another worker would carry."""
HOT_REST_S = 30.0
"""The last change has to show before heat asks for the next one."""
UP_BAND, DOWN_BAND = 1.05, 0.80
UP_STEP, UP_EVERY_S = 4, 15.0
DOWN_EVERY_S = 60.0
CALM_S, CALM_DAY_S = 300.0, 1_800.0
"""So long less must be enough before a worker is taken away; longer on a day with weddings."""
AFTER_UP_S = 3_600.0
"""No worker is taken away sooner after one was added while it is a wedding's day: at most one reversal an hour."""
HELD_SHARE = 0.05


class Limits(Struct, frozen=True):
    """What one worker carries (`drill calibrate`; until then ops.md 2.4), and how many there may be."""

    connections: float = 2_000
    deliveries_per_s: float = 4_000
    joins_per_s: float = 1_500
    rss_bytes: float = 1 << 30
    least: int = 1
    most: int = 2

    @classmethod
    def of(cls, config: RealtimeConfig) -> Limits:
        """As configured."""
        return cls(
            connections=config.capacity_connections,
            deliveries_per_s=config.capacity_deliveries_per_s,
            joins_per_s=config.capacity_joins_per_s,
            rss_bytes=config.capacity_rss_bytes,
            least=config.workers_least,
            most=max(config.workers_most, config.workers_least),
        )


class Load(Struct, frozen=True):
    """Totals over all workers; None: not measured."""

    workers: int
    connections: int | None = None
    deliveries_per_s: float | None = None
    busy: float | None = None
    joins_per_s: float | None = None
    rss_bytes: float | None = None
    lag_s: float | None = None
    """Of the worst worker."""
    p99_s: float | None = None
    """P0 and P1, of the worst worker."""
    unevenness: float = 1.0
    moving: bool = False
    missing: tuple[str, ...] = ()
    """Workers that are there but whose figures are not."""
    coming: int = 0
    """Ordered of an autoscaler, and not heard of yet: how hot it is without them says nothing of more."""
    held_last: int = 0
    """Weddings near or in their ceremony on the worker that would go."""


class Pin(Struct, frozen=True):
    """A person says how many, until then."""

    workers: int
    until_s: float
    who: str
    reason: str


class Orders(Struct, frozen=True):
    """What people have said. `firing`: the alert of a broken promise that fires, "" for none."""

    mode: Mode = "advise"
    pin: Pin | None = None
    firing: str = ""
    overridden: bool = False
    """Somebody answers for it that workers go although ceremonies are near or on."""


class Past(Struct, frozen=True):
    """What earlier decisions leave behind. `needs`: (when, workers needed), oldest first, of the last half hour."""

    needs: tuple[tuple[float, int], ...] = ()
    since_s: float | None = None
    """Since when somebody watches."""
    up_s: float = -math.inf
    down_s: float = -math.inf
    hot_looks: int = 0
    """How often in a row a worker was hot."""


class ScalingDecision(Struct, frozen=True):
    """`want` workers instead of `have`; `act`: it is to be done, not only said."""

    have: int
    want: int
    reason: str
    formula: str
    """What asked for most: connections, deliveries, cpu, joins, memory, hot, calendar, floor, limit, or pin."""
    needs: dict[str, float] = {}
    """{formula: workers}; what was not measured is absent."""
    needed: int = 0
    """What they come to, before steps and bands."""
    act: bool = False
    rebalance: bool = False
    """Uneven and hot: people have to be moved, workers would not help."""
    mode: Mode = "advise"

    @property
    def ordered(self) -> bool:
        """Whether it is an order. Where nobody is heard of and nobody knows how many there are it is a guess."""
        return (self.mode == "auto" or self.formula == "pin") and self.have > 0


def desired_workers(
    load: Load, calendar: Need, limits: Limits, orders: Orders, past: Past, now_s: float
) -> tuple[ScalingDecision, Past]:
    """The decision now, and what to remember for the next one."""
    past = replace(past, hot_looks=past.hot_looks + 1 if _heat(load) > 1 else 0)
    needs, hot = _needs(load, calendar, limits, past, now_s)
    formula = max(needs, key=lambda name: (needs[name], name)) if needs else "floor"
    floor = max(limits.least, 2 if calendar.busy else 0)
    spare = 1 if calendar.live else 0
    needed = math.ceil(round(needs.get(formula, 0.0), 6)) + spare
    if needed < floor:
        needed, formula = floor, "floor"
    if needed > limits.most:
        needed, formula = limits.most, "limit"
    soon = math.ceil(round(calendar.soon / (SHARE_CONNECTIONS * limits.connections), 6)) + spare
    kept = (*((at_s, n) for at_s, n in past.needs if now_s - at_s < CALM_DAY_S), (now_s, needed))
    past = replace(past, needs=kept, since_s=now_s if past.since_s is None else past.since_s)
    pin = orders.pin if orders.pin is not None and orders.pin.until_s > now_s else None
    if pin is not None:
        formula, want = "pin", min(max(pin.workers, 1), limits.most)
        reason = f"{pin.who} wants {pin.workers}: {pin.reason}"
    else:
        asks = _asks(formula, needed, spare, limits)
        least = min(max(soon, floor), limits.most)
        want, reason = _step(load, calendar, orders, past, needed, least, limits.most, asks, now_s)
    act = (orders.mode == "auto" or pin is not None) and want != load.workers
    if act:
        past = replace(past, up_s=now_s) if want > load.workers else replace(past, down_s=now_s)
    rounded = {name: round(n, 3) for name, n in needs.items()}
    return ScalingDecision(load.workers, want, reason, formula, rounded, needed, act, hot, orders.mode), past


def _asks(formula: str, needed: int, spare: int, limits: Limits) -> str:
    """Who asks for how many, in words."""
    if formula == "floor":
        return f"{needed} at the least" + (": weddings are near or on" if needed > limits.least else "")
    if formula == "limit":
        return f"more would be needed than the {needed} there may be"
    return f"{formula} {'need' if formula.endswith('s') else 'needs'} {needed}" + (", one of them in reserve" if spare else "")


def _needs(load: Load, calendar: Need, limits: Limits, past: Past, now_s: float) -> tuple[dict[str, float], bool]:
    """({formula: workers needed}, hot but uneven). A reading that is absent asks for nothing: it only forbids to go down."""
    asked = {
        "connections": (load.connections, SHARE_CONNECTIONS * limits.connections),
        "deliveries": (load.deliveries_per_s, SHARE_DELIVERIES * limits.deliveries_per_s),
        "cpu": (load.busy, SHARE_CPU),
        "joins": (load.joins_per_s, SHARE_JOINS * limits.joins_per_s),
        "memory": (load.rss_bytes, SHARE_MEMORY * limits.rss_bytes),
        "calendar": (calendar.peak, SHARE_CONNECTIONS * limits.connections),
    }
    needs = {name: measured / carried for name, (measured, carried) in asked.items() if measured is not None}
    if past.hot_looks < HOT_LOOKS or load.coming:
        return needs, False
    if load.unevenness > START or load.moving:
        return needs, True
    if now_s - max(past.up_s, past.down_s) > HOT_REST_S:
        needs["hot"] = load.workers * min(_heat(load), HOT_MOST)
    return needs, False


def _heat(load: Load) -> float:
    """How much of what the promise allows is used by the worst worker; above 1 it is hot."""
    return max((load.lag_s or 0.0) / LAG_S, (load.p99_s or 0.0) / P99_S)


def _step(
    load: Load, calendar: Need, orders: Orders, past: Past, needed: int, soon: int, most: int, asks: str, now_s: float
) -> tuple[int, str]:
    """(workers, why) after steps, bands and everything that speaks against going down."""
    have = load.workers
    if needed > have * UP_BAND:
        if now_s - past.up_s < UP_EVERY_S:
            return have, f"{asks}; the last ones were just started"
        want = min(needed, max(have + UP_STEP, 2 * have))
        return want, asks + (f"; {want - have} at a time" if want < needed else "")
    calm_s = CALM_DAY_S if calendar.day else CALM_S
    candidate = min(most, max(soon, *(n for at_s, n in past.needs if now_s - at_s < calm_s)))
    if candidate >= have * DOWN_BAND and have <= most:
        least = f"; {candidate} did in the last {calm_s / 60:.0f} min and will in the next hour" if candidate > needed else ""
        return have, asks + least
    against = _against_down(load, calendar, orders, past, calm_s, now_s)
    return (have, f"{candidate} would do; {against}") if against else (have - 1, f"{candidate} will do, one goes at a time")


def _against_down(load: Load, calendar: Need, orders: Orders, past: Past, calm_s: float, now_s: float) -> str:
    """Why no worker is taken away now, "" for no reason."""
    if load.missing or load.connections is None:
        return f"the figures of {', '.join(load.missing) or 'all'} are missing"
    if orders.firing:
        return f"{orders.firing} fires"
    if not orders.overridden and calendar.held and calendar.held >= HELD_SHARE * calendar.live:
        return f"{calendar.held} ceremonies are near or on"
    if not orders.overridden and load.held_last:
        return f"{load.held_last} ceremonies are near or on at the worker that would go"
    if load.moving:
        return "people are being moved"
    if past.since_s is None or now_s - past.since_s < calm_s:
        return "not watched for long enough"
    if calendar.day and now_s - past.up_s < AFTER_UP_S:
        return "the last one was added within the hour"
    return "the last one has just left" if now_s - past.down_s < DOWN_EVERY_S else ""
