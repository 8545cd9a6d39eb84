"""The control loop: reads what the workers report, decides how many there are and who holds whom, tells people what is wrong.

One in a fleet: the holder of a lease. `manage.py serve` runs it as a process of its own (`manage.py control_loop`); a server
that is alone runs it itself. Nothing on the way of a message waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import msgspec
from django.db import DatabaseError
from msgspec import Struct

from monitoring.alerting import Alerting
from monitoring.alerts import Alert
from monitoring.capacity import limits
from monitoring.dashboard.screen import Screen
from monitoring.delivery import delivering
from monitoring.figures import NOTE, NOTE_TTL_S, Figures, Missing, encode_figures, figures_of
from monitoring.history import History, writing
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
LEAVE_S = 2.0
"""For the last rows of history: a supervisor waits longer than that."""
SCALE_TICKS = 5
"""On one machine a decision every five seconds (ops.md 2.4)."""
CALIBRATION_TICKS = 60
STATUS, STATUS_TTL_S = "status", 5.0
PATIENCE_S = {"control": 1.0, "notices": 5.0, "history": 30.0}
"""For an answer of a database: a tick is late by less than figures are kept; to roll up and to forget may take long."""


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
    history_waiting: int = 0
    """Rows that are not in the history database yet."""
    history_dropped_total: int = 0
    """Rows that never will be: since this process began."""


decode_status = msgspec.msgpack.Decoder(Status).decode
encode_status = msgspec.msgpack.Encoder().encode


class ControlLoop:
    """The parts while the lease is held. Made anew whenever it is taken: what was known before is in the database."""

    def __init__(self, parts: Services, in_thread: Callable[..., Any], history: History) -> None:
        self._parts = parts
        self._in_thread = in_thread
        self._ticks = 0
        self._firing = ""
        self._began_s = parts.clock.now().timestamp() - parts.clock.monotonic()
        self._calendar, self._overrides = calendar_clock(parts.config), list[Override]()
        self._alerts: list[Alert] = []
        self._decision: ScalingDecision | None = None
        self._alerting, self._history, self._missing = Alerting(), history, Missing()
        self.figures: Figures | None = None
        workers, front = actuators(parts.config)
        self._balancer = RealtimeLoadBalancer(parts.registry, front, parts.config.capacity_connections)
        self._scaler = WebSocketScaler(
            workers,
            Limits.of(parts.config),
            bookings=lambda now: in_thread(bookings, now),
            orders=self._orders,
            record=self._record,
            moving=lambda: self._balancer.moving,
        )
        self._screen = Screen(parts, in_thread, self._scaler, self._balancer)

    async def step(self) -> None:
        """One tick. A registry or a database that is away is no reason to stop: what is not known is absent. What fails in a
        way that nobody thought of keeps none of the other parts from their turn."""
        now = self._parts.clock.now()
        # Whoever sets the clock back or forward must not stretch or end what is measured in seconds.
        ahead_s = self._began_s + self._parts.clock.monotonic() - now.timestamp()
        happened: list[tuple[str, str]] = []
        try:
            reports: list[WorkerReport] | None = await self._parts.registry.reports()
        except RegistryUnavailable as error:
            reports = None
            logger.warning("nobody can be asked: %s", error)
        with _apart("scaling and balancing"):
            happened += await self._decide(reports, now) if reports is not None else []
        with _apart("history"):
            self._history.take(reports, now, self._decision.want if self._decision is not None else None)
        with _apart("alerts"):
            self._alerts = await self._in_thread(self._alerting.step, reports, now, happened, ahead_s)
            self._firing = self._alerting.broken()
        with _apart("the status"):
            await self._note(reports, now)
        with _apart("the figures"):
            await self._show(reports, now)
        with _apart("the dashboard"):
            await self._screen.step(reports, now, self._decision, ahead_s)
        self._ticks += 1

    async def _decide(self, reports: Sequence[WorkerReport], now: datetime) -> list[tuple[str, str]]:
        """What the scaler and the balancer do about these reports, for the time line of an incident."""
        happened = []
        if self._ticks % CALIBRATION_TICKS == 0:
            await self._kept(self._calibrate)
        if self._ticks % SCALE_TICKS == 0:
            before, self._decision = self._decision, await self._scaler.reconcile(reports, self._calendar.now())
            if self._decision.act or (before is not None and before.want != self._decision.want):
                happened.append(
                    ("decision", f"have {self._decision.have}, want {self._decision.want}: {self._decision.reason}")
                )
        if len(reports) > 1 or any(report.address for report in reports):  # a proxy has to hear of the first one, too
            booked = self._scaler.forecast.bookings
            expected = {booking.wedding: booking.expected for booking in booked if booking.expected}
            day_s = self._calendar.now().timestamp()
            held = held_by("move", (booking.day for booking in booked), day_s, self._overrides, now.timestamp())
            moves = await self._balancer.rebalance(reports, {window.wedding for window in held}, now, expected)
            happened += [("decision", f"{move.wedding}: {move.source} to {move.target}, {move.reason}") for move in moves]
            if moves:
                await self._kept(self._save_moves, moves, now)
        return happened

    def _calibrate(self) -> None:
        """What was measured since counts from now on."""
        self._scaler.limits = limits(self._parts.config)

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
        """A database that is away must not stop what it keeps the records of."""
        try:
            await self._in_thread(function, *args)
        except DatabaseError:
            logger.exception("the history database did not answer")

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
            history_waiting=self._history.waiting,
            history_dropped_total=self._history.dropped_total,
        )
        try:
            await self._parts.registry.note(STATUS, encode_status(status), STATUS_TTL_S)
        except RegistryUnavailable:
            return  # said already, by the question for reports

    async def leave(self, storing: Callable[..., Any]) -> None:
        """What waits for the history database is written, when that is quick: whoever ends us has a limit."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._history.write(storing), LEAVE_S)
        self._history.leave()

    async def _show(self, reports: Sequence[WorkerReport] | None, now: datetime) -> None:
        """Leave the merged figures where the exporter finds them. Not read: no figures, rather than old ones."""
        self.figures = None
        self.figures = self._figures(reports, now) if reports is not None else None
        if self.figures is not None:
            try:
                await self._parts.registry.note(NOTE, encode_figures(self.figures), NOTE_TTL_S)
            except RegistryUnavailable:
                return

    def _figures(self, reports: Sequence[WorkerReport], now: datetime) -> Figures:
        decision = self._decision
        return figures_of(
            reports,
            self._history.samples.heard.people,
            now.timestamp(),
            self._history.samples.total,
            missing=self._missing.step(reports, self._parts.clock.monotonic()),
            wanted=decision.want if decision is not None else None,
            desired=decision.want if decision is not None and decision.ordered else None,
            alerts=sum(alert.active for alert in self._alerts),
            history_waiting=self._history.waiting,
            history_dropped_total=self._history.dropped_total,
        )


@contextmanager
def _apart(part: str) -> Iterator[None]:
    """Whatever becomes of this part of a tick, the next one has its turn."""
    try:
        yield
    except Exception:
        logger.exception("%s failed in this tick; the next one starts afresh", part)


async def run(parts: Services, shown: Callable[[Figures | None], None] = lambda figures: None) -> None:
    """Hold the lease when it is free, and then tick once a second, for as long as this process runs. `shown` gets the figures
    of each tick; None when this process does not hold the lease, or knows nothing."""
    in_thread, sending, storing = (in_threads(name, 1, patience_s) for name, patience_s in PATIENCE_S.items())
    loop: ControlLoop | None = None
    history = History()
    beside: list[asyncio.Task[None]] = []
    try:
        while True:
            try:
                held = await parts.registry.hold(LEASE, parts.hub.process, LEASE_TTL_S)
            except RegistryUnavailable:
                held = loop is not None  # nobody can take it either
            if held and loop is None:
                history = History(history.dropped_total)
                loop = ControlLoop(parts, in_thread, history)
                beside = [
                    asyncio.create_task(delivering(parts.clock, sending), name="notices"),
                    asyncio.create_task(writing(history, parts.clock, storing), name="history"),
                ]
            elif not held and loop is not None:
                await _ended(beside)
                await loop.leave(storing)
                loop = None
            if loop is not None:
                try:
                    await loop.step()
                except Exception:
                    logger.exception("a tick of the control loop failed; the next one starts afresh")
            shown(loop.figures if loop is not None else None)
            await parts.clock.sleep(TICK_S)
    finally:
        await _ended(beside)
        if loop is not None:
            await loop.leave(storing)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
