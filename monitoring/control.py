"""The control loop: reads what the workers report, decides how many there are and who holds whom, tells people what is wrong.

One in a fleet: the holder of a lease. `manage.py serve` runs it as a process of its own (`manage.py control_loop`); a server
that is alone runs it itself. Nothing on the way of a message waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import DatabaseError
from msgspec import Struct

from monitoring.alerting import Alerting
from monitoring.alerts import Alert
from monitoring.day_reports import Recorder
from monitoring.delivery import delivering
from monitoring.models.scaling import PlacementEvent, ScalingEvent, orders, overrides
from realtime.bootstrap import actuators, calendar_clock, in_threads
from realtime.errors import RegistryUnavailable
from realtime.load_balancer import RealtimeLoadBalancer
from realtime.policy.rebalancing import MovePlan
from realtime.policy.scaling import Limits, Orders, ScalingDecision
from realtime.policy.windows import Override, held_by
from realtime.report import WorkerReport
from realtime.services import Services
from realtime.websocket_scaler import WebSocketScaler
from wedsync.weddings.forecasting import bookings

logger = logging.getLogger(__name__)

LEASE, LEASE_TTL_S = "control", 3.0
"""Three ticks: whoever holds it and dies is followed within that."""
TICK_S = 1.0
SCALE_TICKS = 5
"""On one machine a decision every five seconds (ops.md 2.4)."""
STATUS, STATUS_TTL_S = "status", 5.0


class Status(Struct, frozen=True, omit_defaults=True):
    """What the loop noted last, for pages and commands. Times are UTC seconds."""

    at_s: float
    holder: str
    workers: int | None
    """How many report; None: the registry cannot be read."""
    have: int | None = None
    want: int | None = None
    why: str = ""
    mode: str = ""
    homes: dict[str, str] = {}
    alerts: list[str] = []


decode_status = msgspec.msgpack.Decoder(Status).decode
encode_status = msgspec.msgpack.Encoder().encode


class ControlLoop:
    """The parts while the lease is held. Made anew whenever it is taken: what was known before is in the database."""

    def __init__(self, parts: Services, in_thread: Callable[..., Any]) -> None:
        self._parts = parts
        self._in_thread = in_thread
        self._ticks = 0
        self._firing = ""
        self._calendar, self._overrides = calendar_clock(parts.config), list[Override]()
        self._alerts: list[Alert] = []
        self._decision: ScalingDecision | None = None
        self._alerting, self._recorder = Alerting(), Recorder()
        workers, front = actuators()
        self._balancer = RealtimeLoadBalancer(parts.registry, front, parts.config.capacity_connections)
        self._scaler = WebSocketScaler(
            workers,
            Limits.of(parts.config),
            bookings=lambda now: in_thread(bookings, now),
            orders=self._orders,
            record=self._record,
            moving=lambda: self._balancer.moving,
        )

    async def step(self) -> None:
        """One tick. A registry or a database that is away is no reason to stop: what is not known is absent."""
        now = self._parts.clock.now()
        happened: list[tuple[str, str]] = []
        try:
            reports: list[WorkerReport] | None = await self._parts.registry.reports()
        except RegistryUnavailable as error:
            reports = None
            logger.warning("nobody can be asked: %s", error)
        if reports is not None:
            happened += await self._decide(reports, now)
        self._alerts = await self._in_thread(self._alerting.step, reports, now, happened)
        pages = [alert for alert in self._alerts if alert.active and alert.severity == "page"]
        self._firing = pages[0].rule if pages else ""
        await self._in_thread(self._recorder.step, reports, now)
        await self._note(reports, now)
        self._ticks += 1

    async def _decide(self, reports: Sequence[WorkerReport], now: datetime) -> list[tuple[str, str]]:
        """What the scaler and the balancer do about these reports, for the time line of an incident."""
        happened = []
        if self._ticks % SCALE_TICKS == 0:
            before, self._decision = self._decision, await self._scaler.reconcile(reports, self._calendar.now())
            if self._decision.act or (before is not None and before.want != self._decision.want):
                happened.append(
                    ("decision", f"have {self._decision.have}, want {self._decision.want}: {self._decision.reason}")
                )
        if len(reports) > 1:
            booked = self._scaler.forecast.bookings
            expected = {booking.wedding: booking.expected for booking in booked if booking.expected}
            day_s = self._calendar.now().timestamp()
            held = held_by("move", (booking.day for booking in booked), day_s, self._overrides, now.timestamp())
            moves = await self._balancer.rebalance(reports, {window.wedding for window in held}, now, expected)
            happened += [("decision", f"{move.wedding}: {move.source} to {move.target}, {move.reason}") for move in moves]
            if moves:
                await self._kept(self._save_moves, moves, now)
        return happened

    async def _orders(self, _: datetime) -> Orders:
        now = self._parts.clock.now()  # people speak of the time there is, whatever day is rehearsed
        try:
            self._overrides = await self._in_thread(overrides, now)
            found: Orders = await self._in_thread(orders, now, "advise", self._firing, bool(self._overrides))
        except DatabaseError:
            logger.exception("pins and modes cannot be read")
            return Orders(firing=self._firing)
        return found

    async def _record(self, decision: ScalingDecision, now: datetime) -> None:
        await self._kept(lambda: ScalingEvent.of(decision, now).save())

    async def _kept(self, function: Callable[..., None], *args: object) -> None:
        """A record that cannot be kept must not stop what it is the record of."""
        try:
            await self._in_thread(function, *args)
        except DatabaseError:
            logger.exception("a decision could not be kept")

    @staticmethod
    def _save_moves(moves: Sequence[MovePlan], now: datetime) -> None:
        PlacementEvent.objects.bulk_create([PlacementEvent.of(move, now) for move in moves])

    async def _note(self, reports: Sequence[WorkerReport] | None, now: datetime) -> None:
        decision = self._decision
        status = Status(
            at_s=now.timestamp(),
            holder=self._parts.hub.process,
            workers=len(reports) if reports is not None else None,
            have=decision.have if decision is not None else None,
            want=decision.want if decision is not None else None,
            why=decision.reason if decision is not None else "",
            mode=decision.mode if decision is not None else "",
            homes=self._balancer.homes,
            alerts=[alert.rule for alert in self._alerts if alert.active],
        )
        try:
            await self._parts.registry.note(STATUS, encode_status(status), STATUS_TTL_S)
        except RegistryUnavailable:
            return  # said already, by the question for reports


async def run(parts: Services) -> None:
    """Hold the lease when it is free, and then tick once a second, for as long as this process runs."""
    in_thread, sending = in_threads("control", 1), in_threads("notices", 1)
    loop: ControlLoop | None = None
    delivery: asyncio.Task[None] | None = None
    try:
        while True:
            try:
                held = await parts.registry.hold(LEASE, parts.hub.process, LEASE_TTL_S)
            except RegistryUnavailable:
                held = loop is not None  # nobody can take it either
            if held and loop is None:
                loop = ControlLoop(parts, in_thread)
                delivery = asyncio.create_task(delivering(parts.clock, sending), name="notices")
            elif not held and delivery is not None:
                await _ended(delivery)
                loop = delivery = None
            if loop is not None:
                try:
                    await loop.step()
                except Exception:
                    logger.exception("a tick of the control loop failed; the next one starts afresh")
            await parts.clock.sleep(TICK_S)
    finally:
        if delivery is not None:
            await _ended(delivery)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
