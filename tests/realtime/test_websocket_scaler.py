"""The scaler as a whole: reports in, workers and records out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from realtime.policy.forecast import Booking
from realtime.policy.scaling import Limits, Orders, Pin, ScalingDecision
from realtime.report import WorkerReport
from realtime.websocket_scaler import WebSocketScaler

AUTO = Orders(mode="auto")
NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


class Fleet:
    """A supervisor in memory."""

    def __init__(self, count: int) -> None:
        self.wanted, self.broken, self.said, self.follows = count, False, "", True

    def count(self) -> int | None:
        return self.wanted if self.follows else None

    async def set_count(self, n: int, reason: str) -> None:
        if self.broken:
            raise OSError("the supervisor is away")
        self.wanted, self.said = n if self.follows else self.wanted, reason


class Bench:
    """A scaler with everything around it, and a clock."""

    def __init__(self, workers: int = 2, bookings: Sequence[Booking] | None = (), orders: Orders = AUTO) -> None:
        self.fleet, self.now, self.orders = Fleet(workers), NOON, orders
        self.calendar = bookings
        self.records: list[ScalingDecision] = []
        self.scaler = WebSocketScaler(
            self.fleet, Limits(connections=100, most=9), bookings=self._bookings, orders=self._orders, record=self._record
        )

    async def _bookings(self, now: datetime) -> Sequence[Booking]:
        if self.calendar is None:
            raise OSError("the database is away")
        return self.calendar

    async def _orders(self, now: datetime) -> Orders:
        return self.orders

    async def _record(self, decision: ScalingDecision, now: datetime) -> None:
        self.records.append(decision)

    def reports(self, each: int, joins: int = 0) -> list[WorkerReport]:
        at_s = self.now.timestamp()
        return [
            WorkerReport(
                worker=f"host.{i}.a",
                slot=f"w{i}",
                host="host",
                pid=i,
                at_s=at_s,
                started_s=at_s - 600,
                state="ready",
                connections={"guest": each},
                joins_total=joins,
                busy=0.1,
                lag_s=0.001,
                rss_bytes=1,
            )
            for i in range(1, self.fleet.wanted + 1)
        ]

    async def look(self, each: int, joins: int = 0, after_s: float = 5.0) -> ScalingDecision:
        self.now += timedelta(seconds=after_s)
        return await self.scaler.reconcile(self.reports(each, joins), self.now)


async def test_it_starts_what_the_load_needs_and_says_why() -> None:
    bench = Bench()
    decision = await bench.look(each=105)
    assert (decision.want, bench.fleet.wanted) == (3, 3)
    assert bench.fleet.said == decision.reason == "connections need 3"


async def test_advice_is_recorded_and_not_followed() -> None:
    bench = Bench(orders=Orders(mode="advise"))
    decision = await bench.look(each=105)
    assert (decision.want, bench.fleet.wanted) == (3, 2)
    assert bench.records == [decision]


async def test_a_pin_is_followed_in_any_mode() -> None:
    pin = Pin(4, NOON.timestamp() + 600, "Maria Lang", "rehearsal")
    bench = Bench(orders=Orders("advise", pin))
    await bench.look(each=1)
    assert bench.fleet.wanted == 4


async def test_off_says_nothing() -> None:
    bench = Bench(orders=Orders(mode="off"))
    await bench.look(each=105)
    assert (bench.records, bench.fleet.wanted) == ([], 2)


async def test_the_same_decision_is_recorded_once_a_minute() -> None:
    bench = Bench()
    for _ in range(25):
        await bench.look(each=10)
    assert len(bench.records) == 3


async def test_the_calendar_starts_workers_before_anybody_comes() -> None:
    ceremony = NOON + timedelta(minutes=70)
    bench = Bench(bookings=[Booking("ana-tom", ceremony, UTC, expected=300)])  # type: ignore[arg-type]
    decision = await bench.look(each=0)
    assert decision.formula == "calendar"
    assert bench.fleet.wanted > 2


async def test_a_calendar_that_cannot_be_read_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(bookings=None)
    assert (await bench.look(each=105)).want == 3
    assert "calendar" in caplog.text


async def test_a_supervisor_that_is_away_is_asked_again() -> None:
    bench = Bench()
    bench.fleet.broken = True
    assert not (await bench.look(each=105)).act
    assert not bench.records[-1].act and bench.records[-1].reason.endswith("not done: the supervisor is away")
    bench.fleet.broken = False
    assert (await bench.look(each=105)).act
    assert bench.fleet.wanted == 3


async def test_rates_come_from_two_reports() -> None:
    bench = Bench()
    assert "joins" not in (await bench.look(each=10)).needs
    assert (await bench.look(each=10, joins=1_000)).needs["joins"] == pytest.approx(2 * 200 / 750, abs=0.001)


async def test_a_worker_that_is_not_heard_of_keeps_the_others() -> None:
    bench = Bench(workers=5)
    for _ in range(100):
        bench.now += timedelta(seconds=5)
        decision = await bench.scaler.reconcile(bench.reports(each=1)[:4], bench.now)
    assert decision.want == 5
    assert "not heard of" in decision.reason


async def test_an_order_to_an_autoscaler_stands_until_the_next_one_while_the_old_workers_are_still_there() -> None:
    bench = Bench(workers=5)
    bench.fleet.follows = False
    wanted = [(await bench.look(each=1)).want for _ in range(130)]
    assert wanted == sorted(wanted, reverse=True) and wanted[-1] == 1
    assert all(wanted.count(n) >= 12 for n in (5, 4, 3, 2))
    assert (await bench.look(each=40)).want == 3  # 200 people: at once, whoever is still there


async def test_the_next_change_of_an_autoscaler_waits_for_the_last_one_and_goes_on_from_it() -> None:
    bench = Bench(workers=2)
    bench.fleet.follows = False
    assert [(await bench.look(each=300)).want for _ in range(5)] == [6, 6, 6, 9, 9]
    bench.orders = Orders(mode="advise")
    await bench.look(each=1)
    assert (await bench.look(each=1)).have == 2  # who is not ordered to any number says how many are there


async def test_nothing_is_ordered_where_nobody_is_heard_of() -> None:
    bench = Bench(workers=0)
    bench.fleet.follows = False
    assert not (await bench.look(each=0)).ordered
    bench.fleet.wanted = 4
    assert (await bench.look(each=1)).have == 4
