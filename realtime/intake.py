"""What somebody says, by whichever way it comes: paid for, checked, refused where this process must spare itself."""

from __future__ import annotations

from datetime import datetime

from realtime.alarms import Alarms, ended_by
from realtime.allowance import Allowances
from realtime.clock import Clock
from realtime.config import RealtimeConfig
from realtime.draft import Payload, draft
from realtime.errors import Overloaded, RealtimeError
from realtime.hub import Hub
from realtime.kinds import KINDS, Priority
from realtime.messages import Sender
from realtime.policy.shedding import sheds
from realtime.publication import Draft
from realtime.roles import ROLES

OVERLOADED_RETRY_MS = 5_000
"""Shedding ends after three calm seconds at the earliest."""


class Intake:
    """Of one process, over sockets and HTTP: a person has one allowance here, whatever it opens."""

    def __init__(self, config: RealtimeConfig, hub: Hub, clock: Clock) -> None:
        self._config = config
        self._hub = hub
        self._allowances = Allowances(config, clock)
        self.pay = self._allowances.pay

    def draft(
        self,
        room: str,
        kind_name: str,
        data: Payload,
        *,
        sender: Sender,
        id: str | None = None,
        expires_at: datetime | None = None,
        replaces: str | None = None,
        received_s: float | None = None,
    ) -> Draft:
        """A publication that may go on. Raises what `realtime.draft.draft` does, RateLimited and Overloaded."""
        kind = KINDS.get(kind_name)
        urgent = kind is not None and kind.priority is Priority.P0
        if not urgent:
            self.pay(room, sender)
        try:
            checked = draft(
                self._config, room, kind_name, data,
                sender=sender, id=id, expires_at=expires_at, replaces=replaces, received_s=received_s,
            )  # fmt: skip
        except RealtimeError:
            if urgent:  # a slip must not use up what is for the real one
                self.pay(room, sender)
            raise
        if urgent:
            self._pay_emergency(checked)
        if sheds(self._hub.flushing.tuning.shed_level, ROLES[sender.role], checked.kind):
            self._hub.measures.shed[sender.role] += 1
            raise Overloaded(retry_after_ms=OVERLOADED_RETRY_MS)
        return checked

    def _pay_emergency(self, checked: Draft) -> None:
        room, over = self._hub.rooms.get(checked.room), ended_by(checked.payload)
        alarms = room.alarms if room is not None else Alarms()
        self._allowances.pay_emergency(checked.room, checked.sender, checked.id, ends=over in alarms)
        alarms.end(over)  # also before it is stored: the next one is no news
