"""`drill megaroom`: nearly everybody in one room, and an emergency is announced in it, while small weddings go on beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from realtime.client_events import Event, Received
from realtime.drills.faults import FaultDrill
from realtime.drills.history import Recorder
from realtime.drills.workloads import Planned
from realtime.histogram import Histogram
from realtime.kinds import KINDS, Priority

ALERTS_AT = (0.3, 0.5, 0.7)
"""Of the play. One person may raise three in five minutes."""
CUE_EVERY_S = 0.25
"""In the rooms beside it, so that there is something to be late."""
LAST_S = 1.0
OTHERS_GOAL_MS = 100.0
NEAR_S = 1.0
"""What the others get within so long after an alert counts as having met it."""


class MegaroomDrill(FaultDrill):
    name = "megaroom"
    injects = "emergencies in a room with nearly all of the connections (up to 10,000)"
    invariant = f"0/0/0; P1 in the weddings beside it: p99 within {OTHERS_GOAL_MS:g} ms"
    recovery = f"the last one in the room has the alert after {LAST_S:g} s"
    usual_profile = "megaroom-and-others"
    minutes = 0.5
    people = 2_000

    async def inject(self) -> None:
        """The harm is in the schedule."""
        self._last: dict[str, tuple[float, int]] = {}
        self._beside, self._met = Histogram(), Histogram()
        self._alert_s = -NEAR_S

    def _extra(self) -> Iterator[Planned]:
        """One after the other, in time: alerts in the large room, cues in the others."""
        duration_s = self.options.duration_s
        alerts = {round(at * duration_s / CUE_EVERY_S): f"drill-{n}" for n, at in enumerate(ALERTS_AT)}
        for k in range(1, int(duration_s / CUE_EVERY_S)):
            if k in alerts:
                data = {"alert": alerts[k], "category": "fire", "text": "Please leave by the lake side."}
                yield Planned(k * CUE_EVERY_S, 0, 0, "emergency.alert", data)
            n = 1 + k % max(1, len(self.plan) - 1)
            if n < len(self.plan) and self.items[n]:
                yield Planned(k * CUE_EVERY_S, n, 0, "cue.go", {"item": self.items[n][0], "note": "x" * 100})

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell = super()._listening(n, m, recorder)

        def on_event(event: Event) -> None:
            tell(event)
            if isinstance(event, Received):
                self._measure(n, event)

        return on_event

    def _measure(self, n: int, event: Received) -> None:
        kind, now_s = KINDS.get(event.pub.kind), self._clock.monotonic()
        if kind is None or kind.priority > Priority.P1:
            return
        message = self.history.messages[self.history.ref(self.plan[n].name, event.pub.sender.member, event.pub.id, kind.name)]
        if not message.sent:
            return
        took_s = now_s - message.intended_s
        if n == 0 and kind.priority is Priority.P0:
            _, seen = self._last.get(message.id, (0.0, 0))
            if not seen:
                self.injected(f"an emergency for {len(self.plan[0].roles)} people")
            self._last[message.id] = took_s, seen + 1
            if seen + 1 == len(self.plan[0].roles):
                self.restored("the last one in the room has it")
            self._alert_s = now_s
        elif n and kind.priority is Priority.P1:
            self._beside.record(took_s)
            if now_s - self._alert_s < NEAR_S:
                self._met.record(took_s)

    def promises(self) -> list[str]:
        crowd = len(self.plan[0].roles)
        beside, met = self._beside.quantile_ms(0.99), self._met.quantile_ms(0.99)
        seen = [seen for _, seen in self._last.values()]
        last_s = max((took_s for took_s, _ in self._last.values()), default=None)
        self.facts |= {"in_the_room": crowd, "alerts": len(self._last), "seen_by_least": min(seen, default=0)}
        self.facts |= {"last_s": None if last_s is None else round(last_s, 3), "others": len(self._beside)}
        self.facts |= {
            "others_p99_ms": _rounded(beside),
            "others_p99_at_the_alerts_ms": _rounded(met),
            "connections_ended": len(self.ended),
        }
        broken = []
        if last_s is None or beside is None:
            broken.append("nothing was measured: play for longer, with more connections")
        elif last_s > LAST_S:
            broken.append(f"the last of {crowd} had the alert after {last_s:.3f} s, the goal is {LAST_S:g} s")
        if min(seen, default=crowd) < crowd:
            broken.append(f"only {min(seen)} of {crowd} in the room saw an alert")
        if beside is not None and beside > OTHERS_GOAL_MS:
            broken.append(f"P1 in the weddings beside it: p99 {beside:.1f} ms, the goal is {OTHERS_GOAL_MS:g} ms")
        return broken


def _rounded(measured: float | None) -> float | None:
    return None if measured is None else round(measured, 1)
