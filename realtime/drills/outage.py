"""What `db-out` and `disk-full` share: for a while the journal cannot store anything, while everybody is talking.

What is promised: ephemeral kinds go on as before; an emergency leaves at once, marked provisional, and is stored later;
everything else durable is refused and stays with the clients until the journal is back; nobody loses their connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from realtime.client_events import Event, Received, Via
from realtime.drills.faults import FaultDrill
from realtime.drills.history import Message, Recorder
from realtime.drills.load import member_id
from realtime.errors import RealtimeError
from realtime.kinds import KINDS
from realtime.session import Phase

AT, SHARE = 0.25, 0.4
"""When it begins and how long it takes at the most, as shares of the play."""
GONE_S = 30.0
ALARM_AFTER_S = 0.5
ALARMS_MAX = 10
"""Rooms in which somebody raises an alarm meanwhile."""
ALARM_S = 1.0
"""For an alarm without a journal: a quarter of a second until it leaves on its own, and a busy machine."""
P3_GOAL_MS = 100.0
BACK_S = 30.0
"""Until all that was kept is stored (ops.md 5.2)."""
POLL_S = 0.05


class JournalOutage(FaultDrill):
    """Subclasses say how the journal is taken away and given back."""

    invariant = (
        "0/0/0; ephemeral kinds go on as before; an emergency leaves at once (provisional) and is stored later; all that is "
        "durable else is refused and stays with the clients; no connection ends, no process ends"
    )
    recovery = f"all that was kept is stored within {BACK_S:g} s; an emergency is seen by all within {ALARM_S:g} s meanwhile"
    alerts: tuple[str, ...] = ("journal-down",)
    minutes = 1.0
    least_s = 8.0
    """However short the play is: the alert waits five seconds before it fires."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # {alarm: when it was raised, who was there to hear it}, {alarm: {member: when they did}}.
        self._alarms: dict[str, tuple[float, set[str]]] = {}
        self._rang: dict[str, dict[str, float]] = defaultdict(dict)

    async def lose(self) -> None:
        """From now on nothing can be stored."""
        raise NotImplementedError

    async def give_back(self) -> None:
        """And now it can."""
        raise NotImplementedError

    async def inject(self) -> None:
        duration_s = self.options.duration_s
        await self._clock.sleep(AT * duration_s)
        before = await self.pids()
        lost_s = self._clock.monotonic()
        try:
            await self.lose()
            self.injected(self.injects)
            await self._clock.sleep(ALARM_AFTER_S)
            self._raise_alarms()
            await self._clock.sleep(max(self.least_s, min(GONE_S, SHARE * duration_s)) - ALARM_AFTER_S)
            kept, self.facts["ephemeral_refused"] = self._kept(lost_s), self._shed(lost_s)
        finally:
            await self.give_back()
        self.restored("the journal can store again")
        back_s = self._clock.monotonic()
        self.facts |= {"gone_s": round(back_s - lost_s, 3), "kept_by_clients": len(kept)}
        while (left := sum(not message.answered for message in kept)) and self._clock.monotonic() - back_s < BACK_S:
            await self._clock.sleep(POLL_S)
        self.facts |= {"not_stored_in_time": left, "all_stored_s": round(self._clock.monotonic() - back_s, 3)}
        after = await self.pids()
        self.facts["processes_ended"] = ", ".join(sorted(before.keys() - after.keys()))

    def _raise_alarms(self) -> None:
        for n, room in enumerate(self.plan[:ALARMS_MAX]):
            client, at_s = self.clients[n][0], self._clock.monotonic()
            alarm = {"alert": f"drill-{n}", "category": "medical", "text": "A doctor, please."}
            id = client.new_id()
            self.history.sent(room.name, member_id(room, 0), id, "emergency.alert", at_s)
            listening = {member_id(room, m) for m, c in enumerate(self.clients[n]) if m and c.session.phase is Phase.LIVE}
            self._alarms[id] = at_s, listening
            with suppress(RealtimeError):  # sent away for good: what has no answer fails the drill
                client.post("emergency.alert", alarm, id=id)

    def _kept(self, lost_s: float) -> list[Message]:
        """What was said since then and has no answer."""
        return [
            message
            for message in self.history.messages
            if message.sent and message.intended_s >= lost_s and not message.answered and KINDS[message.kind].durable
        ]

    def _shed(self, lost_s: float) -> int:
        """How many ephemeral ones were refused since then."""
        return sum(bool(m.refused) and m.intended_s >= lost_s and not KINDS[m.kind].durable for m in self.history.messages)

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell, member = super()._listening(n, m, recorder), member_id(self.plan[n], m)

        def on_event(event: Event) -> None:
            tell(event)
            if isinstance(event, Received) and event.via is not Via.REPLAY and event.pub.id in self._alarms:
                self._rang[event.pub.id].setdefault(member, self._clock.monotonic())

        return on_event

    def promises(self) -> list[str]:
        self._note()
        broken = []
        if not self.facts["kept_by_clients"]:
            broken.append("nothing was refused meanwhile: the outage was not felt; play for longer")
        if self.facts["alarms_missed"]:
            broken.append(f"{self.facts['alarms_missed']} who were connected did not hear of an emergency while it lasted")
        if self.facts["ephemeral_refused"]:
            broken.append(f"{self.facts['ephemeral_refused']} ephemeral publications were refused, which need no journal")
        broken += self._slow()
        if self.facts["not_stored_in_time"]:
            broken.append(f"{self.facts['not_stored_in_time']} publications that were kept are not stored {BACK_S:g} s later")
        if self.ended:
            broken.append(f"{len(self.ended)} connections ended; nobody should have to come back")
        if self.facts["processes_ended"]:
            broken.append(f"processes of the fleet have ended: {self.facts['processes_ended']}")
        return broken

    def _slow(self) -> list[str]:
        alarm_s, usual, meanwhile = (self.facts[f] for f in ("last_alarm_s", "p3_p99_before_ms", "p3_p99_meanwhile_ms"))
        broken = []
        if isinstance(alarm_s, float) and alarm_s > ALARM_S:
            broken.append(f"the last one heard of an emergency after {alarm_s:g} s, the goal is {ALARM_S:g} s")
        if not isinstance(usual, float) or not isinstance(meanwhile, float):
            broken.append("nothing ephemeral was measured: play for longer")
        elif meanwhile > max(P3_GOAL_MS, 2 * usual):
            broken.append(f"ephemeral kinds were held up: p99 went from {usual:.1f} to {meanwhile:.1f} ms")
        return broken

    def _note(self) -> None:
        waits, missed = [], 0
        for id, (at_s, listening) in self._alarms.items():
            missed += len(listening - self._rang[id].keys())
            waits += [heard_s - at_s for heard_s in self._rang[id].values()]
        ephemeral = self.history.course.phases().get("P3", {})
        before, meanwhile = (ephemeral[phase].p99_ms if phase in ephemeral else None for phase in ("before", "during"))
        self.facts |= {
            "alarms": len(self._alarms),
            "alarms_missed": missed,
            "last_alarm_s": round(max(waits), 3) if waits else None,
            "p3_p99_before_ms": before and round(before, 1),
            "p3_p99_meanwhile_ms": meanwhile and round(meanwhile, 1),
            "connections_ended": len(self.ended),
        }
