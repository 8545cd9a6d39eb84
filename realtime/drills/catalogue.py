"""All drills that play a Saturday: one line each. What a drill does, promises and needs its class declares itself.

To add one: a module with a subclass of `FaultDrill` that sets `name`, `injects`, `invariant` and `recovery`, and its line here.
"""

from __future__ import annotations

from typing import Any

from monitoring.page_drill import WAIT_S
from realtime.drills.calibrate import CalibrateDrill
from realtime.drills.db_out import DatabaseOutDrill
from realtime.drills.deploy import DeployDrill
from realtime.drills.disk_full import DiskFullDrill
from realtime.drills.faults import FaultDrill
from realtime.drills.fd_limit import FilesDrill
from realtime.drills.hang import HangDrill
from realtime.drills.haproxy import HAProxyDrill
from realtime.drills.kill import KillDrill
from realtime.drills.megaroom import MegaroomDrill
from realtime.drills.mobile import MobileDrill
from realtime.drills.poison import PoisonDrill
from realtime.drills.redis_failover import RedisFailoverDrill
from realtime.drills.redis_kill import RedisKillDrill
from realtime.drills.redis_slow import RedisSlowDrill
from realtime.drills.rehearsal import RehearsalDrill
from realtime.drills.replay import ReplayDrill
from realtime.drills.saturday import SaturdayDrill
from realtime.drills.scale import ScaleDrill
from realtime.drills.slow_clients import SlowClientsDrill
from realtime.drills.storm import StormDrill
from realtime.drills.venue_wifi import VenueWifiDrill
from realtime.drills.wrong_clock import ClockDrill

_ALL: tuple[type[FaultDrill], ...] = (
    SaturdayDrill,
    CalibrateDrill,
    # the fleet
    KillDrill,
    HangDrill,
    DeployDrill,
    StormDrill,
    RedisKillDrill,
    RedisFailoverDrill,
    RedisSlowDrill,
    ScaleDrill,
    HAProxyDrill,
    FilesDrill,
    # a whole day
    RehearsalDrill,
    ReplayDrill,
    # people, phones and networks
    SlowClientsDrill,
    MobileDrill,
    VenueWifiDrill,
    PoisonDrill,
    MegaroomDrill,
    # what the fleet stands on
    DatabaseOutDrill,
    DiskFullDrill,
    ClockDrill,
)
DRILLS: dict[str, type[FaultDrill]] = {drill.name: drill for drill in _ALL}


def about(drill: type[FaultDrill]) -> dict[str, Any]:
    """What `drill list --json` says of one."""
    return {
        "name": drill.name,
        "injects": drill.injects,
        "invariant": drill.invariant,
        "recovery": drill.recovery,
        "minutes": drill.minutes,
        "connections": drill.people,
        "workers": drill.workers,
        "profile": drill.usual_profile,
        "alerts": list(drill.alerts),
        "live": drill.live,
        "needs": [{"name": need.name, "hint": need.hint, "met": need.met()} for need in drill.needs],
    }


PAGE_ME: dict[str, Any] = {
    "name": "page-me",
    "injects": "a page that says it is a test, the way every page goes",
    "invariant": "it reaches everybody who takes pages, and with --wait a person acknowledges it in the admin",
    "recovery": f"acknowledged within {WAIT_S:g} s",
    "minutes": WAIT_S / 60,
    "connections": 0,
    "workers": 0,
    "profile": "",
    "alerts": [],
    "live": False,
    "needs": [],
}
"""The one that plays no Saturday: it needs a running control loop, and a person. `manage.py drill` has it by itself."""
