"""What there is to draw, and how it is read from a summary. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from monitoring.day_report import Minute
from monitoring.rollup import Summary, percentiles_s
from realtime.histogram import Buckets, merged
from realtime.kinds import Priority

PRIORITIES = tuple(priority.name for priority in Priority)
URGENT = ("P0", "P1")
ORDER = ("planner", "vendor", "couple", "guest", "display", "staff", "load")
Values = list[float | None]


class Line(Struct, frozen=True):
    """One line of a chart; as long as `Chart.at`."""

    name: str
    values: Values


class Chart(Struct, frozen=True):
    """`at`: the beginnings of the stretches, UTC seconds, `step_s` apart. `limit`: the promise, drawn as a line of its own."""

    name: str
    title: str
    unit: str
    about: str
    step_s: int
    at: list[int]
    lines: list[Line]
    limit: float | None = None


class Plot(Struct, frozen=True):
    """How a chart is made: `read` gives {line: value} of a summary, from these fields of it."""

    name: str
    title: str
    unit: str
    about: str
    fields: tuple[str, ...]
    read: Callable[[Summary], dict[str, float | None]]
    limit: float | None = None
    main: str = ""
    """The line that stands for a worker in a chart with one line for each."""


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1_000


def _percentiles(histograms: dict[str, Buckets], names: Sequence[str] = ()) -> dict[str, float | None]:
    return dict(zip(("p50", "p95", "p99"), map(_ms, percentiles_s(histograms, (0.5, 0.95, 0.99), names)), strict=True))


def _by_priority(summary: Summary) -> dict[str, float | None]:
    return {name: summary.per_s(sum(summary.latency.get(name, {}).values())) for name in PRIORITIES}


def _busy(summary: Summary) -> dict[str, float | None]:
    mean = summary.cpu_us / summary.cpu_known_ms / 1_000 if summary.cpu_known_ms else None
    return {"mean": mean, "most": summary.busy_most}


def _by_rank(item: tuple[str, object]) -> int:
    """The crew first, and each role always in the same colour."""
    return ORDER.index(item[0]) if item[0] in ORDER else len(ORDER)


# fmt: off
def _people_and_deliveries() -> Iterator[Plot]:
    yield Plot(
        "connections", "Connections", "", "people and programs connected", ("connections_ms", "connections_most"),
        lambda s: {"mean": s.mean(s.connections_ms), "most": s.connections_most}, main="mean",
    )
    yield Plot(
        "roles", "Connections by role", "", "mean", ("roles_ms",),
        lambda s: {role: s.mean(total) for role, total in sorted(s.roles_ms.items(), key=_by_rank)},
    )
    yield Plot(
        "deliveries", "Deliveries a second", "/s", "handed to recipients' sockets, and what was published",
        ("deliveries", "publications"),
        lambda s: {"deliveries": s.per_s(s.deliveries), "publications": s.per_s(s.publications)}, main="deliveries",
    )
    yield Plot("priorities", "Deliveries a second by priority", "/s", "P0 is the most urgent", ("latency",), _by_priority)
    yield Plot(
        "latency", "Delivery latency", "ms", "from the publisher's socket to the recipient's, all priorities", ("latency",),
        lambda s: _percentiles(s.latency), 100.0, "p99",
    )
    yield Plot(
        "urgent", "Delivery latency of P0 and P1", "ms", "emergencies, cues, changes of the plan", ("latency",),
        lambda s: _percentiles(s.latency, URGENT), 100.0, "p99",
    )
    yield Plot(
        "acknowledged", "P0 and P1 acknowledged within", "ms", "with the way back in it; needs no second clock", ("acked",),
        lambda s: _percentiles(s.acked), 250.0, "p99",
    )


def _machines() -> Iterator[Plot]:
    yield Plot(
        "workers", "Workers", "", "that report (mean), and that the scaler wants", ("workers_ms", "wanted_last"),
        lambda s: {"workers": s.mean(s.workers_ms), "wanted": s.wanted_last},
    )
    yield Plot(
        "weddings", "Weddings", "", "held at once, at most", ("weddings_most",),
        lambda s: {"weddings": s.weddings_most}, main="weddings",
    )
    yield Plot(
        "busy", "Cores used", "cores", "CPU seconds a second", ("cpu_us", "cpu_known_ms", "busy_most"), _busy, main="mean"
    )
    yield Plot(
        "lag", "Loop lag", "ms", "the longest time the loop was late for a timer", ("lag_s_most",),
        lambda s: {"most": _ms(s.lag_s_most)}, 50.0, "most",
    )
    yield Plot(
        "outbox", "Waiting for slow members", "bytes", "in the server's memory", ("outbox_bytes_ms", "outbox_bytes_most"),
        lambda s: {"mean": s.mean(s.outbox_bytes_ms), "most": s.outbox_bytes_most}, 33_554_432.0, "most",
    )
    yield Plot(
        "joins", "Joins a second", "/s", "let in, and told to come back later", ("joins", "joins_refused"),
        lambda s: {"joins": s.per_s(s.joins), "refused": s.per_s(s.joins_refused)}, main="joins",
    )
    yield Plot(
        "memory", "Memory", "bytes", "at most", ("rss_bytes_most",), lambda s: {"most": s.rss_bytes_most}, main="most"
    )
    yield Plot(
        "trouble", "Trouble", "", "faults in clients' streams; closed as too slow; shed for overload",
        ("faults", "too_slow", "shed"),
        lambda s: {"faults": s.faults, "too slow": s.too_slow, "shed": s.shed}, main="too slow",
    )


# fmt: on
PLOTS = {plot.name: plot for plot in (*_people_and_deliveries(), *_machines())}


def _people(minutes: Sequence[Minute]) -> dict[str, float | None]:
    roles = sorted({role for minute in minutes for role in minute.connections})
    return {role: sum(minute.connections.get(role, 0.0) for minute in minutes) / len(minutes) for role in roles}


def _delivered(minutes: Sequence[Minute]) -> dict[str, float | None]:
    return {"deliveries": sum(minute.deliveries for minute in minutes) / (60 * len(minutes))}


class WeddingPlot(Struct, frozen=True):
    """The same of one wedding: from recorded minutes, one or more."""

    name: str
    title: str
    unit: str
    about: str
    read: Callable[[Sequence[Minute]], dict[str, float | None]]
    limit: float | None = None


WEDDING_PLOTS = (
    WeddingPlot("people", "People", "", "connected, by role", _people),
    WeddingPlot("deliveries", "Deliveries a second", "/s", "all priorities", _delivered),
    WeddingPlot(
        "urgent", "Delivery latency of P0 and P1", "ms", "emergencies, cues, changes of the plan",
        lambda minutes: _percentiles({"": merged(minute.latency for minute in minutes)}), 100.0,
    ),
)  # fmt: skip
