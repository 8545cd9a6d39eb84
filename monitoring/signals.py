"""What alert rules may watch, and how it is read from the reports of the workers. No I/O; what was not measured is None."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from monitoring.alerts import Labels
from monitoring.heard import late
from monitoring.slo import PAIRS, Budget, Objective
from realtime.fence import fenced
from realtime.histogram import added, beyond
from realtime.report import WorkerReport


class Signal(Struct, frozen=True):
    """Something that is read every second, for each of its subjects."""

    name: str
    unit: str
    about: str


SIGNALS = {
    signal.name: signal
    for signal in (
        Signal(
            "burn.5m", "times the day's budget", "the smaller burn rate of the last 5 minutes and 30 seconds, per objective"
        ),
        Signal("burn.30m", "times the day's budget", "the same of 30 and 2.5 minutes"),
        Signal("burn.2h", "times the day's budget", "the same of 2 hours and 10 minutes"),
        Signal(
            "promise.faults", "faults", "gaps, doubles and order faults that clients reported in the last 5 minutes, per worker"
        ),
        Signal("wedding.late", "share", "P0 and P1 deliveries of the last minute that took over 250 ms, per wedding"),
        Signal("wedding.planner_away", "seconds", "since the planner of a wedding with other people in it was last connected"),
        Signal("emergency.unseen", "seconds", "since an emergency that somebody of the crew has not confirmed, per wedding"),
        Signal("worker.silent", "seconds", "since a worker that did not say goodbye last reported"),
        Signal(
            "worker.lag", "seconds", "the longest time in the last 3 seconds that the loop was late for a timer, per worker"
        ),
        Signal("worker.busy", "cores", "CPU time per second, per worker"),
        Signal("worker.outbox", "bytes", "waiting for members that are behind, per worker"),
        Signal("worker.too_slow", "share", "connections closed as too slow in the last minute, per worker"),
        Signal("worker.lame", "(1: yes)", "whether a worker says that it is not fit for members"),
        Signal("clock.offset", "seconds", "how far a worker's clock is from that of the control loop, per worker"),
        Signal("journal.down", "(1: yes)", "whether a worker cannot store publications"),
        Signal("layer.down", "(1: yes)", "whether a worker does not reach the channel layer"),
        Signal("canary.lost", "share", "of the other workers that did not hear this worker's canary within a second"),
        Signal("joins.refused", "joins", "refused in the last minute, whole fleet"),
        Signal("shed.publications", "publications", "not delivered in the last minute since a worker was overloaded, per role"),
        Signal("disk.free", "share", "of the disk that holds the databases, on the machine of the control loop"),
        Signal("registry.silent", "seconds", "since the reports of the workers could last be read"),
        Signal(
            "notice.waiting", "seconds", "that a page has been waiting for a receiver; given up with nobody reached: an hour"
        ),
    )
}

OBJECTIVES = (
    # (objective, field of the report, priorities, limit in seconds): ops.md 4.3
    (Objective("P0 and P1 within 100 ms", 0.999), "latency", ("P0", "P1"), 0.1),
    (Objective("P0 and P1 acknowledged within 250 ms", 0.99), "acked", ("P0", "P1"), 0.25),
    (Objective("P2 within 100 ms", 0.99), "latency", ("P2",), 0.1),
    (Objective("P3 within 500 ms", 0.95), "latency", ("P3",), 0.5),
)
CANARY = Objective("canary within 100 ms", 0.999)
CANARY_LIMIT_S, CANARY_LOST_S = 0.1, 1.0
LEFT_MAX = 100
SETTLED_S = 5.0
"""A worker that is so young may not be heard of by all."""
WEDDING_LIMIT_S = 0.25
WEDDING_S = 60.0
WEDDING_EVENTS_MIN = 20
"""Deliveries of a wedding in a minute; fewer say nothing about a hundredth of them, and the fleet's budgets count them too."""
GOODBYE_S = 1.5
"""A worker on its way out that has nobody and misses a report has ended; its last one can be read for some seconds more."""
LAG_OVER_S = 3.0
"""A stall every second can fall on either side of a report."""
FORGET_S = 900.0
"""A worker that never came back, a planner who has left: after this it is no longer news."""


class Rolling:
    """The sum of what was added within the last `window_s`."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._parts: deque[tuple[float, int, int]] = deque()

    def add(self, at_s: float, count: int, of: int = 0) -> None:
        """Some of now, or of the past that become known late."""
        if count or of:
            place = len(self._parts)
            while place and self._parts[place - 1][0] > at_s:
                place -= 1
            self._parts.insert(place, (at_s, count, of))

    def sums(self, now_s: float) -> tuple[int, int]:
        while self._parts and self._parts[0][0] <= now_s - self._window_s:
            self._parts.popleft()
        return sum(part[1] for part in self._parts), sum(part[2] for part in self._parts)


def of(name: str, value: str) -> Labels:
    return ((name, value),)


Table = dict[str, dict[Labels, float | None]]


class Signals:
    """Reads one second after the other. `now_s` is a clock that does not go back, and `ahead_s` how far it is ahead of the
    machine's. `scale`: of the windows in which promises are judged, see `Budget`."""

    def __init__(self, scale: float = 1.0) -> None:
        self._budgets = [(Budget(objective, scale), field, names, limit_s) for objective, field, names, limit_s in OBJECTIVES]
        self._canary = Budget(CANARY, scale)
        self._wedding_s = WEDDING_S * scale
        self._last: dict[str, WorkerReport] = {}
        self._seen_s: dict[str, float] = {}
        # {worker that was forgotten: time of its last report}
        self._left: dict[str, float] = {}
        self._read_s: float | None = None
        self._faults: dict[str, Rolling] = {}
        self._slow: dict[str, Rolling] = {}
        self._lag: dict[str, deque[tuple[float, float]]] = {}
        self._offset: dict[str, float] = {}
        self._refused, self._shed = Rolling(60), dict[str, Rolling]()
        self._late: dict[str, Rolling] = {}
        self._planner_s: dict[str, float] = {}
        # {slot: when whoever looked before us last heard of it}, of those that were missing then and still are
        self._missing_s: dict[str, float] = {}

    def recall(self, signal: str, labels: Labels, seen_s: float) -> None:
        """What an open alert of whoever looked before us knows: when this worker, or the planner of this wedding, was last
        seen. Of other signals that says nothing."""
        subject = dict(labels)
        if signal == "worker.silent" and "worker" in subject:
            self._missing_s[subject["worker"]] = seen_s
        elif signal == "wedding.planner_away" and "wedding" in subject:
            self._planner_s.setdefault(subject["wedding"], seen_s)

    def read(self, reports: Sequence[WorkerReport] | None, now_s: float, ahead_s: float = 0.0) -> Table:
        """All readings of this second, except those of the disk and the notices. None: the reports could not be read."""
        if self._read_s is None or reports is not None:
            self._read_s = now_s
        table: Table = {"registry.silent": {(): now_s - self._read_s}}
        if reports is None:
            return table
        # What somebody left behind is there for some seconds more.
        reports = [report for report in reports if self._left.get(report.worker) != report.at_s]
        news = [report for report in reports if report.at_s != getattr(self._last.get(report.worker), "at_s", None)]
        speaking = {report.worker for report in news if report.state == "ready" and report.at_s - report.started_s > SETTLED_S}
        for report in news:
            self._offset[report.slot] = abs(report.at_s + ahead_s - now_s)
            before = self._last.get(report.worker)
            if before is not None:  # it speaks: the first that is read may be the last of one that is dead
                self._missing_s.pop(report.slot, None)
            self._count(report, before, now_s, speaking)
            self._last[report.worker], self._seen_s[report.worker] = report, now_s
        self._forget(reports, now_s)
        table |= self._workers(now_s)
        table |= self._fleet(now_s) | self._weddings(reports, now_s)
        return table

    def _count(self, report: WorkerReport, before: WorkerReport | None, now_s: float, speaking: set[str]) -> None:
        """The differences to the worker's last report. What it did before it was first seen is in no window. `speaking`: those
        that have reported since and are neither new nor on their way out; of the others no canary is owed."""
        slot = report.slot
        if report.lag_s is not None:
            self._lag.setdefault(slot, deque()).append((now_s, report.lag_s))
        for worker, took_s in report.canaries.items():
            if report.worker in speaking and worker in speaking:
                self._canary.add(now_s, bad=took_s is None or took_s > CANARY_LIMIT_S, total=1)
        if before is None:
            return
        # What became known late is no news of now: it belongs to the time in which nobody could be asked.
        at_s = now_s - (report.at_s - before.at_s) / 2 if late(report, before) else now_s
        for budget, field, names, limit_s in self._budgets:
            new, old = getattr(report, field), getattr(before, field)
            for name in names:
                some = added(new.get(name, {}), old.get(name, {}))
                budget.add(at_s, bad=beyond(some, limit_s), total=sum(some.values()))
        if report.gaps_total is not None:
            faults = self._faults.setdefault(slot, Rolling(300))
            faults.add(now_s, report.gaps_total - (before.gaps_total or 0))
        self._slow.setdefault(slot, Rolling(60)).add(at_s, report.too_slow_total - before.too_slow_total)
        self._refused.add(at_s, report.joins_refused_total - before.joins_refused_total)
        for role, total in report.shed_total.items():
            self._shed.setdefault(role, Rolling(60)).add(at_s, total - before.shed_total.get(role, 0))
        for name, wedding in report.weddings.items():
            was = before.weddings.get(name)
            if fenced(name) or was is None or wedding.deliveries_total == was.deliveries_total:
                continue
            some = added(wedding.latency, was.latency)
            slow = self._late.setdefault(name, Rolling(self._wedding_s))
            slow.add(at_s, beyond(some, WEDDING_LIMIT_S), sum(some.values()))

    def _forget(self, reports: Sequence[WorkerReport], now_s: float) -> None:
        """Workers that have left on purpose, were replaced a moment ago, or have been silent for too long. Who died
        is told even where another was started at once."""
        present = {report.worker for report in reports}
        filled = {report.slot: report.worker for report in reports if now_s - self._seen_s[report.worker] < 1.5}
        for worker, report in list(self._last.items()):
            replaced = filled.get(report.slot, worker) != worker
            # An empty worker on its way out has nothing more to say; one with people is awaited.
            empty = not any(report.connections.values()) and now_s - self._seen_s[worker] > GOODBYE_S
            left = report.state == "draining" and (replaced or empty or worker not in present)
            if left or now_s - self._seen_s[worker] > (LAG_OVER_S if replaced else FORGET_S):
                self._left[worker] = self._last.pop(worker).at_s
                del self._seen_s[worker]
        self._missing_s = {slot: seen_s for slot, seen_s in self._missing_s.items() if now_s - seen_s <= FORGET_S}
        while len(self._left) > LEFT_MAX:
            del self._left[next(iter(self._left))]
        slots = {report.slot for report in self._last.values()}
        for kept in (self._faults, self._slow, self._lag, self._offset):
            for slot in kept.keys() - slots:
                del kept[slot]

    def _workers(self, now_s: float) -> Table:
        about_workers = ("worker.", "clock.", "journal.", "layer.", "canary.", "promise.")
        unknown: dict[Labels, float | None] = {of("worker", slot): None for slot in self._missing_s}
        table: Table = {name: dict(unknown) for name in SIGNALS if name.startswith(about_workers)}
        table["worker.silent"] = {of("worker", slot): now_s - seen_s for slot, seen_s in self._missing_s.items()}
        # Who was heard last comes last: of two in one slot its readings count.
        for worker, report in sorted(self._last.items(), key=lambda item: self._seen_s[item[0]]):
            slot, labels = report.slot, of("worker", report.slot)
            silent_s = now_s - self._seen_s[worker]
            table["worker.silent"][labels] = max(silent_s, table["worker.silent"].get(labels) or 0.0)
            known = silent_s < LAG_OVER_S  # what a silent worker last said is no reading of now
            lags = self._lag.get(slot, deque())
            while lags and lags[0][0] <= now_s - LAG_OVER_S:
                lags.popleft()
            table["worker.lag"][labels] = max((lag_s for _, lag_s in lags), default=None)
            table["worker.busy"][labels] = report.busy if known else None
            table["worker.outbox"][labels] = float(report.outbox_bytes) if known else None
            slow, people = self._slow.get(slot), max(1, sum(report.connections.values()))
            table["worker.too_slow"][labels] = slow.sums(now_s)[0] / people if slow and known else None
            table["worker.lame"][labels] = float(report.state == "lame") if known else None
            table["clock.offset"][labels] = self._offset.get(slot) if known else None
            table["journal.down"][labels] = float(not report.journal_healthy) if known else None
            if report.layer_healthy is not None:
                table["layer.down"][labels] = float(not report.layer_healthy) if known else None
            faults = float(self._faults[slot].sums(now_s)[0]) if slot in self._faults else 0.0
            measured = report.gaps_total is not None and (known or faults > 0)  # the faults of a silent worker were there
            table["promise.faults"][labels] = faults if measured else None
            table["canary.lost"] |= self._deaf(worker, labels)
        return table

    def _deaf(self, worker: str, labels: Labels) -> dict[Labels, float | None]:
        heard = [report.canaries[worker] for report in self._last.values() if worker in report.canaries]
        lost = sum(took_s is None or took_s > CANARY_LOST_S for took_s in heard)
        return {labels: lost / len(heard)} if heard else {}

    def _fleet(self, now_s: float) -> Table:
        known = bool(self._last)
        table: Table = {
            "joins.refused": {(): float(self._refused.sums(now_s)[0]) if known else None},
            "shed.publications": {of("role", role): float(kept.sums(now_s)[0]) for role, kept in self._shed.items()},
        }
        for pair in PAIRS:
            table[f"burn.{pair.name}"] = {
                of("slo", budget.objective.name): budget.burning(pair, now_s, self._canary) for budget, *_ in self._budgets
            }
        return table

    def _weddings(self, reports: Iterable[WorkerReport], now_s: float) -> Table:
        people: dict[str, dict[str, int]] = {}
        for report in reports:
            for name, wedding in report.weddings.items():
                if fenced(name):
                    continue
                roles = people.setdefault(name, {})
                for role, count in wedding.connections.items():
                    roles[role] = roles.get(role, 0) + count
        late: dict[Labels, float | None] = {}
        for name, kept in list(self._late.items()):
            bad, total = kept.sums(now_s)
            if total >= WEDDING_EVENTS_MIN:
                late[of("wedding", name)] = bad / total
            elif name in people:
                late[of("wedding", name)] = None  # too few to tell
            else:
                del self._late[name]
        away: dict[Labels, float | None] = {}
        for name, roles in people.items():
            if roles.get("planner"):
                self._planner_s[name] = now_s
            if name in self._planner_s and any(roles.values()):
                away[of("wedding", name)] = now_s - self._planner_s[name]
        self._planner_s = {
            name: seen_s
            for name, seen_s in self._planner_s.items()
            if any(people.get(name, {}).values()) and now_s - seen_s < FORGET_S
        }
        return {"wedding.late": late, "wedding.planner_away": away}
