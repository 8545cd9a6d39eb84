"""When a process that died is started again. PURE."""

from __future__ import annotations

CAP_S = 10.0
STEADY_S = 30.0
"""Who has run so long has recovered: its next death is the first one again."""


def restart_delay_s(deaths: int) -> float:
    """Seconds to wait after `deaths` in a row: the first time at once, then longer, so that a broken release does no harm."""
    return 0.0 if deaths <= 1 else min(CAP_S, 0.5 * 2.0 ** min(deaths - 2, 10))


def deaths_in_a_row(before: int, lived_s: float) -> int:
    """How many that are now, counting this one."""
    return 1 if lived_s >= STEADY_S else before + 1
