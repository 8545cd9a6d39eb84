"""What an operator sees of the fleet at one moment, as values. A reading that could not be taken is None, never 0."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

WEDDINGS_MAX = 30
"""Shown; of the rest only how many there are: a page that is read, and a message of a bounded size."""
Promise = Literal["kept", "late", "broken", "quiet"]
"""Of one wedding in the last five minutes. quiet: nothing was sent that could be judged."""


class Latency(Struct, frozen=True):
    """Deliveries of one priority in the last minute: from the publisher's socket to the recipient's. `late`: over 100 ms."""

    priority: str
    count: int
    p50_s: float | None = None
    p99_s: float | None = None
    p999_s: float | None = None
    late: int = 0


class WorkerStatus(Struct, frozen=True):
    """One worker: as it is, or, when `gone`, as it was last heard of."""

    worker: str
    slot: str
    host: str
    pid: int
    state: str
    reason: str
    gone: bool
    heard_s: float
    """Seconds since its last report came."""
    age_s: float
    connections: int
    weddings: int
    deliveries_per_s: float | None
    busy: float | None
    lag_s: float | None
    rss_bytes: int | None
    outbox_bytes: int
    window_s: float
    shed: str
    journal_healthy: bool
    layer_healthy: bool | None
    heard_by: tuple[int, int] | None
    """(others that heard its last canary within a second, others that were asked); None: nobody was."""
    canary_s: float | None
    """The longest its last canary took to one of them."""
    plans: dict[str, int]
    tuned: str
    """The last change of its tuning, and why."""
    went: dict[str, int]
    """Of a worker that is gone: {slot: of its weddings that have people there now}."""


class Moved(Struct, frozen=True):
    """Most people of a wedding are on another worker than before."""

    at_s: float
    source: str
    target: str
    reason: str


class WeddingStatus(Struct, frozen=True):
    """One wedding with people in it."""

    wedding: str
    connections: int
    at: dict[str, int]
    """{slot: connections}."""
    deliveries_per_s: float | None
    promise: Promise
    judged: int
    late: int
    faults: int
    p99_s: float | None
    placed: str
    """Where its next member would go, and why; "" when nobody takes anybody."""
    first_choice: str
    placed_why: str
    moved: Moved | None = None
    phase: str = ""
    expected: int | None = None


class ScalerStatus(Struct, frozen=True):
    """The last decision of the scaler. `expected`: people by the calendar; `rho`: how many come for each."""

    have: int
    want: int
    why: str
    mode: str
    acting: bool
    expected: float | None = None
    soon: float | None = None
    live: int | None = None
    rho: float | None = None
    least: int = 0
    most: int = 0


class BalancerStatus(Struct, frozen=True):
    """How even the workers are, and how far they may be uneven. `homes`: weddings that are not where their hash says."""

    unevenness: float | None
    bound: float
    homes: int
    moving: bool


class FleetStatus(Struct, frozen=True):
    """Everything. `reports_known` False: the registry could not be read, and what follows from reports is what it was."""

    at_s: float
    holder: str
    reports_known: bool
    tick_ms: float | None
    connections: int | None
    by_role: dict[str, int]
    deliveries_per_s: float | None
    deliveries_minute: int | None
    seconds: float
    """How much of the last minute was seen."""
    joins_minute: int | None
    latency: list[Latency]
    promise: Latency
    """Of P0 and P1 together: what was promised within 100 ms."""
    workers: list[WorkerStatus]
    weddings: list[WeddingStatus]
    promises: dict[str, int]
    """{promise: weddings}, of all, not only of those that are shown."""
    scaler: ScalerStatus | None
    balancer: BalancerStatus | None


class AlertFact(Struct, frozen=True):
    """An alert that is not over."""

    pk: int
    severity: str
    title: str
    reason: str
    state: str
    muted: str
    fired_s: float
    acknowledged_by: str


class IncidentFact(Struct, frozen=True):
    pk: int
    title: str
    state: str
    started_s: float


class MoveFact(Struct, frozen=True):
    """The balancer asked a wedding's people to go elsewhere."""

    at_s: float
    wedding: str
    source: str
    target: str
    sockets: int
    reason: str


class DecisionFact(Struct, frozen=True):
    at_s: float
    have: int
    want: int
    reason: str
    acted: bool


class PinFact(Struct, frozen=True):
    workers: int
    until_s: float
    who: str
    reason: str


class DrillFact(Struct, frozen=True):
    """The last runs of one drill. None: never."""

    name: str
    command: str
    passed_s: float | None
    failed_s: float | None
    due: bool
    """It has not passed lately, or failed since."""


class Facts(Struct, frozen=True):
    """As of `read_s`, moves, decisions and drills up to five seconds before; `known` False: the history database did not
    answer, and this is what it said last."""

    read_s: float | None = None
    known: bool = True
    alerts: list[AlertFact] = []
    alerts_more: int = 0
    incidents: list[IncidentFact] = []
    moves: list[MoveFact] = []
    decisions: list[DecisionFact] = []
    pin: PinFact | None = None
    drills: list[DrillFact] = []
