"""The shell of the dashboard in the control loop: once a second it notes what the page shows, and tells room `ops`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import DatabaseError
from msgspec import Struct
from msgspec.structs import replace

from monitoring.dashboard.building import fleet_status, scaler_status
from monitoring.dashboard.facts import read
from monitoring.dashboard.kind import OPS_STATUS, Shown
from monitoring.dashboard.shown import shown
from monitoring.dashboard.status import Facts
from monitoring.dashboard.watching import Standing, Watch
from realtime.draft import draft
from realtime.errors import RealtimeError
from realtime.load_balancer import RealtimeLoadBalancer
from realtime.policy.scaling import ScalingDecision
from realtime.report import WorkerReport
from realtime.roles import OPS
from realtime.services import Services
from realtime.websocket_scaler import WebSocketScaler

logger = logging.getLogger(__name__)

SHOWN, POINTS = "dashboard", "dashboard.points"
KEPT_S = 86_400.0
"""A page that is opened while nobody watches shows what was seen last, and how long ago."""
POINTS_MAX, POINTS_EVERY = 600, 5
"""Ten minutes for the charts of a page that is just opened; noted every five seconds."""
FACTS_EVERY = 5
"""Moves, decisions and drills are read every five seconds: as often as the scaler decides."""


class Point(Struct, frozen=True, array_like=True):
    """One second of the charts."""

    at_s: float
    figures: dict[str, float | None]


encode = msgspec.msgpack.Encoder().encode
decode_shown = msgspec.msgpack.Decoder(Shown).decode
decode_points = msgspec.msgpack.Decoder(list[Point]).decode


class Screen:
    """Made anew with the control loop; the charts go on from what the last one noted."""

    def __init__(
        self, parts: Services, in_thread: Callable[..., Any], scaler: WebSocketScaler, balancer: RealtimeLoadBalancer
    ) -> None:
        self._parts, self._in_thread = parts, in_thread
        self._scaler, self._balancer = scaler, balancer
        self._watch, self._facts = Watch(), Facts(known=False)
        self._points: deque[Point] | None = None
        self._ticks = -1  # that of the last step
        self._tick_ms: float | None = None

    async def step(
        self, reports: Sequence[WorkerReport] | None, now: datetime, decision: ScalingDecision | None, ahead_s: float
    ) -> None:
        """Look, note, tell. `ahead_s`: how far `now` has been set back since this began. Never raises for a database or a
        registry that is away; the page then says what is not known."""
        self._ticks += 1  # whatever becomes of this one
        started_s = self._parts.clock.monotonic()
        page: Shown = await self._in_thread(self._look, reports, now, decision, ahead_s)
        self._tick_ms = (self._parts.clock.monotonic() - started_s) * 1_000
        try:
            await self._note(page)
        except RealtimeError as error:
            logger.info("the dashboard is not noted: %s", error)
        try:
            self._parts.hub.ephemeral(draft(self._parts.config, OPS, OPS_STATUS.name, page))
        except RealtimeError as error:
            logger.info("the dashboard is not told: %s", error)

    def _look(
        self, reports: Sequence[WorkerReport] | None, now: datetime, decision: ScalingDecision | None, ahead_s: float
    ) -> Shown:
        try:
            whole = self._ticks % FACTS_EVERY == 0 or not self._facts.known
            self._facts = read(now, None if whole else self._facts)
        except DatabaseError as error:
            if self._facts.known:
                logger.error("the dashboard goes on without the history database: %s", error)
            self._facts = replace(self._facts, known=False)
        scaler, balancer = self._scaler, self._balancer
        limits = scaler.limits
        status = fleet_status(
            self._watch,
            reports,
            now,
            ahead_s=ahead_s,
            holder=self._parts.hub.process,
            tick_ms=self._tick_ms,
            scaler=scaler_status(decision, scaler.need, scaler.correction.rho, limits.least, limits.most),
            standing=Standing(balancer.homes, balancer.bound, balancer.moving),
            bookings=scaler.forecast.by_wedding,
        )
        return shown(status, self._facts)

    async def _note(self, page: Shown) -> None:
        registry = self._parts.registry
        if self._points is None:
            self._points = deque(_points(await registry.read(POINTS)), POINTS_MAX)
        self._points.append(Point(page.at_s, page.figures))
        await registry.note(SHOWN, encode(page), KEPT_S)
        if self._ticks % POINTS_EVERY == 0:
            await registry.note(POINTS, encode(list(self._points)), KEPT_S)


def _points(kept: bytes | None) -> list[Point]:
    """What the loop before this one has noted; nothing when that was another release."""
    try:
        return decode_points(kept) if kept is not None else []
    except msgspec.MsgspecError:
        return []
