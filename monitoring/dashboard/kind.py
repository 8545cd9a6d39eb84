"""The message kind of the live dashboard: what the page shows, as texts, once a second to staff in the room `ops`."""

from __future__ import annotations

from realtime.kinds import SENDER, SERVER, Data, Kind, Priority
from realtime.roles import Audience


class Row(Data, frozen=True):
    """One line or card of a list; `key` stays the same while it is about the same thing."""

    key: str
    texts: dict[str, str]


class Shown(Data, frozen=True):
    """Everything on the page. `texts` by the name of their place, `figures` for the charts (None: not measured)."""

    at_s: float
    texts: dict[str, str]
    figures: dict[str, float | None]
    rows: dict[str, list[Row]]


OPS_STATUS = Kind("ops.status", Priority.P3, Audience.STAFF, SERVER, Shown, SENDER)
