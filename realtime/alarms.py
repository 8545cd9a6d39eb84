"""Which emergencies of a room are not over, as far as this process has heard."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from realtime.kinds import KINDS, EmergencyAlert, decode_data
from realtime.publication import Entry

ALARMS_MAX = 100
"""Of a room, kept at once: more than anybody can follow. Beyond it the oldest is not known any more."""
_KIND = KINDS["emergency.alert"]


class Alarms:
    """Those of one room. Each can be ended once, and who ends it pays for no emergency: an all-clear must not have to wait
    because its author has raised others, and there are never more of these than alarms."""

    __slots__ = ("_on",)

    def __init__(self) -> None:
        self._on: dict[str, None] = {}  # oldest first

    def __contains__(self, alert: str) -> bool:
        return alert in self._on

    def hear(self, entry: Entry) -> None:
        """Something was said in the room."""
        if entry.kind != _KIND.name:
            return
        try:
            data = decode_data(_KIND, entry.data)
        except msgspec.ValidationError:  # of another release
            return
        self.end(over := ended_by(data))
        if not over and isinstance(data, EmergencyAlert):
            self._on[data.alert] = None
            if len(self._on) > ALARMS_MAX:
                del self._on[next(iter(self._on))]

    def end(self, alert: str) -> None:
        """It is over."""
        self._on.pop(alert, None)


def ended_by(data: Struct) -> str:
    """The emergency of which this says that it is over, "" for everything else."""
    return data.alert if isinstance(data, EmergencyAlert) and data.state == "all_clear" else ""
