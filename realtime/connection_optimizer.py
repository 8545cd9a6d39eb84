"""How do I serve this one connection now? PURE: what was measured and told in, a plan out, with its reason."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from realtime.config import RealtimeConfig
from realtime.link import Link
from realtime.roles import Audience, Role

SLOW_RTT_S = 0.4
"""Above it a radio link is crowded or far away (ops.md 1.4: the barn has 300 +- 150 ms): fewer, larger packets."""
FAST_RTT_S = 0.25
"""Below it a slow link counts as recovered; the distance keeps a plan from flickering."""
STUCK_BYTES = 32_768
"""Un-acknowledged: a second of a 256 kbit/s link. More is not sent faster by adding to it."""
LOST_SHARE, LOST_LEAST = 0.02, 3
"""Between the crowded network that loses one in a hundred and the barn that loses three (ops.md 1.4); a few are an accident."""
SLOW_HEARTBEAT = 2.5
"""Times the usual interval for a phone in a pocket or one that saves data: each packet wakes its radio."""
BATCH_S = 0.25
CROWDED, UNCROWDED = 12_000, 10_000
"""Connections of this process from which on heartbeats are rarer, and down to which they stay so. At 12,000 their 1,650 a
second take a tenth of a core."""
CROWDED_HEARTBEAT = 2.0
"""Times the usual interval then. News that come late to all are worse than a screen that learns two seconds later that it is
cut off."""


class Told(Struct, frozen=True):
    """What the client said of its own side (`realtime.messages.Hint`)."""

    visible: bool = True
    save_data: bool = False
    effective: Literal["slow-2g", "2g", "3g", "4g"] = "4g"


class ConnectionStats(Struct, frozen=True):
    """Everything a plan depends on. `link` None: not measured. `deflate`: the client negotiated compression."""

    role: Role
    told: Told = Told()
    link: Link | None = None
    lost: int = 0
    sent: int = 0
    """Segments lost, and all that were sent, since the last plan."""
    behind: bool = False
    deflate: bool = False
    light: bool = False
    """How it is served now."""


class ConnectionPlan(Struct, frozen=True):
    """`light`: spare kinds are left out and what is not urgent waits up to `batch_s` for company. `window_bytes`: may wait here
    for a member that does not read, before it is sent away to come back and resume."""

    heartbeat_s: float
    light: bool = False
    batch_s: float = 0.0
    window_bytes: int = 262_144
    encoding: Literal["plain", "deflate"] = "plain"
    reason: str = "usual"

    def same(self, other: ConnectionPlan) -> bool:
        """Whether nothing but the reason differs."""
        return self is other or replace(self, reason=other.reason) == other


class ConnectionOptimizer:
    """Plans one connection at a time; never sends, and of the others knows only how many they are."""

    def __init__(self, config: RealtimeConfig) -> None:
        self._config = config
        self._crowded = False
        # Who is served as usual shares the plan with all alike: made once, and no question whether it has changed.
        self._usual: dict[tuple[Role, bool, bool, bool], ConnectionPlan] = {}

    def serve(self, connections: int) -> None:
        """So many connections are served here: plans from now on are made for that."""
        self._crowded = connections > (UNCROWDED if self._crowded else CROWDED)

    def plan(self, stats: ConnectionStats) -> ConnectionPlan:
        """How to serve a connection of which `stats` are known."""
        sleepy = not stats.told.visible or stats.told.save_data
        if reason := trouble(stats):
            return self._made(stats.role, sleepy, stats.deflate, reason)
        alike = stats.role, sleepy, self._crowded, stats.deflate
        if alike not in self._usual:
            self._usual[alike] = self._made(stats.role, sleepy, stats.deflate, "")
        return self._usual[alike]

    def _made(self, role: Role, sleepy: bool, deflate: bool, reason: str) -> ConnectionPlan:
        config, light = self._config, bool(reason)
        heartbeat_s = config.planner_heartbeat_s if role & Audience.PLANNERS else config.heartbeat_s
        if sleepy and not role & Audience.PLANNERS:
            heartbeat_s *= SLOW_HEARTBEAT
        elif self._crowded:
            heartbeat_s *= CROWDED_HEARTBEAT
        return ConnectionPlan(
            heartbeat_s=heartbeat_s,
            light=light,
            batch_s=BATCH_S if light else 0.0,
            window_bytes=config.outbox_bytes if role & Audience.CREW else config.guest_outbox_bytes,
            encoding="deflate" if deflate else "plain",
            reason=reason or "usual",
        )


def trouble(stats: ConnectionStats) -> str:
    """Why this connection is served sparingly, "" when there is no reason to. What was not measured is no reason."""
    told, link = stats.told, stats.link
    if not told.visible:
        return "the page is hidden"
    if told.save_data:
        return "the phone saves data"
    if told.effective in ("slow-2g", "2g"):
        return f"the phone says {told.effective}"
    if stats.behind:
        return "it is behind"
    if link is None:
        return ""
    # The second bound is for one that is served sparingly already: a plan must not flicker.
    if link.rtt_s > (FAST_RTT_S if stats.light else SLOW_RTT_S):
        return f"round trip {link.rtt_s * 1_000:.0f} ms"
    if link.unacked_bytes > (STUCK_BYTES // 2 if stats.light else STUCK_BYTES):
        return f"{link.unacked_bytes // 1_024} KiB not acknowledged"
    if stats.lost > LOST_LEAST and stats.lost > stats.sent * (LOST_SHARE / 2 if stats.light else LOST_SHARE):
        return f"{stats.lost} of {stats.sent} segments lost"
    return ""
