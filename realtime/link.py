"""What is known of the way to one member, as the kernel measures it for its own use."""

from __future__ import annotations

from msgspec import Struct


class Link(Struct, frozen=True):
    """`rtt_s`: the shortest round trip of the last minutes. `jitter_s`: mean deviation from the smoothed one (RFC 6298).
    `unacked_bytes`: sent and not acknowledged, or not even sent. `sent_total`: segments with data since the beginning;
    `lost_total`: of them those that were sent again, which some are without need (RFC 8985, tail loss probes)."""

    rtt_s: float
    jitter_s: float
    unacked_bytes: int
    lost_total: int
    sent_total: int
