"""The networks phones are on, as classes, and how one of them delays what is sent over it. PURE: times and chance come in."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from msgspec import Struct

PACKET_BYTES = 1_448
"""What fits into one segment of an Ethernet path (RFC 879 with time stamps)."""
RETRY_S = 0.2
"""The least a sender waits before it sends a lost segment again (Linux TCP_RTO_MIN)."""


class Network(Struct, frozen=True):
    """One class. `delay_ms` and `jitter_ms` are of a round trip, `loss` the share of packets, `rate_kbit` 0 without a limit."""

    name: str
    share: float
    delay_ms: float
    jitter_ms: float
    loss: float
    rate_kbit: int = 0
    gaps: bool = False
    """Whether it is gone for 20 s now and then."""


# ops.md 1.4.
NETWORKS: tuple[Network, ...] = (
    Network("good", 0.60, 40, 10, 0.001),
    Network("crowded", 0.25, 120, 60, 0.01),
    Network("barn", 0.10, 300, 150, 0.03, 256),
    Network("dead-zones", 0.05, 120, 60, 0.01, gaps=True),
)


def spread(count: int, rng: random.Random, networks: Sequence[Network] = NETWORKS) -> list[int]:
    """Which class each of `count` people is on: the shares as exactly as so many allow, one of each at least, shuffled."""
    wanted = [max(1, round(network.share * count)) for network in networks]
    wanted[0] = max(1, count - sum(wanted[1:]))
    chosen = [index for index, n in enumerate(wanted) for _ in range(n)][:count]
    rng.shuffle(chosen)
    return chosen


class Line:
    """One direction of one connection over `network`: when what is sent now arrives. Nothing overtakes."""

    def __init__(self, network: Network, rng: random.Random) -> None:
        self._network = network
        self._rng = rng
        self._sent_s = self._arrived_s = 0.0

    def arrival_s(self, now_s: float, n_bytes: int) -> float:
        """When `n_bytes` sent at `now_s` are at the other end."""
        network, rng = self._network, self._rng
        on_the_air_s = n_bytes * 8 / (network.rate_kbit * 1_000) if network.rate_kbit else 0.0
        self._sent_s = max(self._sent_s, now_s) + on_the_air_s
        way_s = max(0.0, rng.gauss(network.delay_ms, network.jitter_ms / 2)) / 2_000
        lost = 1 - (1 - network.loss) ** math.ceil(n_bytes / PACKET_BYTES)
        while rng.random() < lost:  # TCP sends it again; until then nothing behind it is shown either
            way_s += RETRY_S + network.delay_ms / 1_000
            lost = network.loss
        self._arrived_s = max(self._arrived_s, self._sent_s + way_s)
        return self._arrived_s


def netem(network: Network) -> list[str]:
    """The same for one direction in the words of `tc qdisc ...`; packets overtake each other there, as they do on the air."""
    delay = ["delay", f"{network.delay_ms / 2:g}ms", f"{network.jitter_ms / 2:g}ms", "distribution", "normal"]
    rate = ["rate", f"{network.rate_kbit}kbit"] if network.rate_kbit else []
    return ["netem", *delay, "loss", f"{network.loss * 100:g}%", "reorder", "2%", *rate, "limit", "10000"]
