"""What happened to the workers of a fleet, read from one round of reports to the next. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from monitoring.models.alerts import IncidentEvent
from realtime.report import WorkerReport

Kind = IncidentEvent.Kind


class Happening(Struct, frozen=True):
    """A line for a time line. `kind`: of `IncidentEvent.Kind`."""

    kind: str
    text: str


class Happenings:
    """Remembers the last state of each worker."""

    def __init__(self) -> None:
        self._known: dict[str, WorkerReport] | None = None

    def step(self, reports: Sequence[WorkerReport] | None) -> list[Happening]:
        """What is new in these reports. Of the first round nothing is: nobody knows what was before."""
        if reports is None:
            return []
        before, self._known = self._known, {report.worker: report for report in reports}
        if before is None:
            return []
        found = []
        for report in reports:
            was = before.get(report.worker)
            people = sum(report.connections.values())
            if was is None:
                found.append(Happening(Kind.WORKER, f"{report.slot} started ({report.worker})"))
            elif report.state != was.state:
                draining = Kind.DEPLOY if report.reason.startswith("deploy") else Kind.DRAIN
                kind = draining if report.state == "draining" else Kind.WORKER
                why = f": {report.reason}" if report.reason else ""
                found.append(Happening(kind, f"{report.slot} is {report.state} with {people:,} people{why}"))
        for worker, was in before.items():
            if worker not in self._known:
                word = "ended" if was.state == "draining" else "is gone"
                people = sum(was.connections.values())
                text = f"{was.slot} {word}; last seen with {people:,} people of {len(was.weddings):,} weddings"
                found.append(Happening(Kind.WORKER, text))
        return found
