"""What is known of the way to one member, as the kernel measures it for its own use."""

from __future__ import annotations

from msgspec import Struct


class Link(Struct, frozen=True):
    """`rtt_s`, `jitter_s`: smoothed round trip and its mean deviation (RFC 6298). `unacked_bytes`: sent and not acknowledged,
    or not even sent. `lost_total`: segments sent again since the connection was made."""

    rtt_s: float
    jitter_s: float
    unacked_bytes: int
    lost_total: int
