"""What the control loop knows of the whole fleet, for the exporter: merged figures, and who is missing. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from monitoring.rollup import Summary
from realtime.report import WorkerReport

NOTE, NOTE_TTL_S = "figures", 5.0
"""Five ticks: later they are no figures of now."""
MISSING_S = 60.0
"""Four rounds of service discovery: long enough for Prometheus to see that a worker does not answer."""


class Figures(Struct, frozen=True, omit_defaults=True):
    """One tick. Counters of `total` since this holder of the lease began."""

    at_s: float
    states: dict[str, int] = {}
    """{state: workers}."""
    missing: list[str] = []
    """Slots that fell silent without having left."""
    connections: dict[str, int] = {}
    total: Summary = Summary()
    wanted: int | None = None
    desired: int | None = None
    """What an autoscaler is to bring about; None: it is not asked."""
    alerts: int = 0
    history_waiting: int = 0
    history_dropped_total: int = 0


encode_figures = msgspec.msgpack.Encoder().encode
decode_figures = msgspec.msgpack.Decoder(Figures).decode


class Missing:
    """Who was there a moment ago. `now_s` is a clock that does not go back."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, bool]] = {}

    def step(self, reports: Sequence[WorkerReport], now_s: float) -> list[str]:
        """The slots that fell silent within `MISSING_S`, did not say goodbye, and were not filled again."""
        present = {report.slot for report in reports}
        self._seen = {slot: kept for slot, kept in self._seen.items() if now_s - kept[0] < MISSING_S}
        for report in reports:
            self._seen[report.slot] = (now_s, report.state == "draining")
        return sorted(slot for slot, (_, leaving) in self._seen.items() if slot not in present and not leaving)


def figures_of(
    reports: Sequence[WorkerReport], people: Mapping[str, int], at_s: float, total: Summary, **more: object
) -> Figures:
    """The figures of one tick. `people`: {role: connections}."""
    states = Counter(report.state for report in reports)
    return Figures(at_s, dict(states), connections=dict(people), total=total, **more)  # type: ignore[arg-type]
