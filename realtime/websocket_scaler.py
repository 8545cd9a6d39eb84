"""How many workers, now and for the next hour? A thin shell around `realtime.policy.scaling`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from msgspec.structs import replace

from realtime.policy.fleet_load import as_load
from realtime.policy.forecast import Booking, Correction, Forecast, Need
from realtime.policy.scaling import Limits, Orders, Past, ScalingDecision, desired_workers
from realtime.policy.windows import held_by
from realtime.ports import Workers
from realtime.report import WorkerReport

logger = logging.getLogger(__name__)

CALENDAR_S = 60.0
"""How often the calendar is read again: somebody may enter a wedding for today."""
RATE_S = 5.0
"""Rates are taken over so long at least: a second has too few joins to say anything."""
RECORD_S = 60.0
"""A decision that says the same again is recorded once a minute."""


class WebSocketScaler:
    """Decides, acts through `Workers`, and leaves a record. Never chooses who goes where."""

    def __init__(
        self,
        workers: Workers,
        limits: Limits,
        *,
        bookings: Callable[[datetime], Awaitable[Sequence[Booking]]],
        orders: Callable[[datetime], Awaitable[Orders]],
        record: Callable[[ScalingDecision, datetime], Awaitable[None]],
        moving: Callable[[], bool] = lambda: False,
    ) -> None:
        """`bookings`: the weddings around a moment; `orders`: what people and alerts say; `record`: keeps a decision;
        `moving`: whether the balancer moves people now."""
        self._workers, self.limits = workers, limits
        self._bookings, self._orders, self._record, self._moving = bookings, orders, record, moving
        self.forecast = Forecast([])
        self.correction = Correction()
        self.need: Need | None = None
        self._calendar_s = -CALENDAR_S
        self._past = Past()
        self._before: dict[str, WorkerReport] = {}
        self._before_s = 0.0
        self._recorded: tuple[float, ScalingDecision] | None = None
        self._trouble = ""
        self._ordered: int | None = None
        """Of an autoscaler, by the last change; None before one, and when nothing is ordered."""

    async def reconcile(self, reports: Sequence[WorkerReport], now: datetime) -> ScalingDecision:
        """Decide on what the workers report, start or stop some when the mode is `auto`, and record it.

        A calendar or an actuator that fails is logged; the decision then rests on what is known, and is made again next time.
        """
        now_s = now.timestamp()
        await self._read_calendar(now, now_s)
        orders = await self._orders(now)
        count = self._workers.count()
        load = as_load(reports, self._before, now_s, self._moving(), count)
        if count is None and self._ordered is not None:  # an autoscaler follows within minutes: its order stands until then
            load = replace(load, workers=self._ordered, coming=max(0, self._ordered - load.workers))
        load = replace(load, held_last=self._held_last(reports, now_s))
        self._keep(reports, now_s)
        expected = self.forecast.expected(now_s)
        self.correction = self.correction.step(load.connections, expected, now_s)
        self.need = self.forecast.need(now_s, self.correction.rho)
        decision, past = desired_workers(load, self.need, self.limits, orders, self._past, now_s)
        if await self._set_count(decision):
            self._past = past
        else:
            decision = replace(decision, act=False, reason=f"{decision.reason}; not done: {self._trouble}")
        await self._leave_record(decision, now, now_s)
        return decision

    async def _set_count(self, decision: ScalingDecision) -> bool:
        """Whether what was decided is under way. Said again each time: whoever carries it out may have forgotten."""
        if not decision.ordered:
            self._ordered = None
        else:
            try:
                await self._workers.set_count(decision.want, decision.reason)
            except OSError as error:  # tried again in a few seconds, as if nothing had been decided
                if str(error) != self._trouble:
                    logger.warning("%d workers cannot be had: %s", decision.want, error)
                self._trouble = str(error)
                return False
            except Exception as error:
                logger.exception("%d workers could not be had", decision.want)
                self._trouble = repr(error)
                return False
            self._trouble = ""
            if decision.act:
                self._ordered = decision.want
        return True

    async def _read_calendar(self, now: datetime, now_s: float) -> None:
        if not 0 <= now_s - self._calendar_s < CALENDAR_S:
            self._calendar_s = now_s
            try:
                self.forecast = Forecast(await self._bookings(now))
            except Exception:  # a database that is away must not stop the scaler: the calendar of a minute ago is as good
                logger.exception("the calendar of weddings could not be read")

    def _held_last(self, reports: Sequence[WorkerReport], now_s: float) -> int:
        """Weddings near or in their ceremony on the worker in the last slot: that is the one that goes."""
        last = [report for report in reports if report.state != "draining"][-1:]
        held = {window.wedding for window in held_by("scale-in", (b.day for b in self.forecast.bookings), now_s)}
        return sum(len(held & report.weddings.keys()) for report in last)

    def _keep(self, reports: Sequence[WorkerReport], now_s: float) -> None:
        if not 0 <= now_s - self._before_s < RATE_S:
            self._before, self._before_s = {report.worker: report for report in reports}, now_s

    async def _leave_record(self, decision: ScalingDecision, now: datetime, now_s: float) -> None:
        if decision.mode == "off" and decision.formula != "pin":
            return
        if self._recorded is not None:
            at_s, last = self._recorded
            same = (last.have, last.want, last.formula, last.mode) == (
                decision.have,
                decision.want,
                decision.formula,
                decision.mode,
            )
            if same and not decision.act and 0 <= now_s - at_s < RECORD_S:
                return
        self._recorded = (now_s, decision)
        await self._record(decision, now)
