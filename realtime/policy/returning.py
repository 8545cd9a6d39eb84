"""When to come back after a worker has died: told in the welcome, because a dead worker says nothing. PURE."""

from __future__ import annotations

from realtime.roles import Role

ALL_WITHIN_MS = 3_000
FULL = 5_000
"""Sockets each surviving worker has to take for which `ALL_WITHIN_MS` is meant: 1,667 a second, what one admits."""
QUICKLY_MS = 500
"""With few people nobody has to wait longer: a phone that only changed the mast is back before anybody notices."""
AT_MOST_MS = {Role.PLANNER: 500, Role.STAFF: 500, Role.VENDOR: 2_000, Role.COUPLE: 2_000}


def return_ms(role: Role, connections: int, others: int) -> int:
    """The time over which the members of this role come back, milliseconds; each one chooses its moment at random.

    `connections`: of this worker; `others`: workers that would take them, 0 when it is alone and has to be back itself.
    """
    window_ms = max(QUICKLY_MS, ALL_WITHIN_MS * connections / max(1, others) / FULL)
    return round(min(AT_MOST_MS.get(role, window_ms), window_ms))
