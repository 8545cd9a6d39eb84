"""When a client that lost its connection tries again."""

from __future__ import annotations

import random

BASE_S = 0.5
"""The first try comes within this: a phone that only changed the mast is back before anybody notices."""
CAP_S = 20.0
"""Longer waits save the server nothing more, but the couple would see a dead page."""


def reconnect_delay_s(attempt: int, rng: random.Random, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait before try number `attempt` (0: the first): anything up to min(cap, base * 2^attempt), evenly.

    Full jitter spreads 10,000 clients that were cut at the same moment best (Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015).
    """
    # 2^30 * base is beyond every sensible cap, and a client that tried for a year must not overflow a float.
    return rng.uniform(0.0, min(cap_s, base_s * 2.0 ** min(max(attempt, 0), 30)))
