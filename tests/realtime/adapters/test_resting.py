"""A connection at rest, and the slot its messages come through."""

from __future__ import annotations

import asyncio

from realtime.adapters.daphne_server import WireProtocol
from realtime.adapters.resting import OVER, Mailslot, Resting, rested


def test_what_differs_from_rest_stays() -> None:
    attributes = {"data": b"\x81", "closedByMe": False, "wasClean": True, "http_headers": {}, "state": 3}
    assert rested(WireProtocol, attributes) == {"data": b"\x81", "wasClean": True, "state": 3}
    assert not OVER & {"state", "client_addr", "path", "last_ping", "request", "transport", "factory"}
    assert Resting.send_queue == ()


async def test_messages_come_in_order_and_an_early_one_waits() -> None:
    slot = Mailslot()
    slot.put_nowait({"n": 1})
    slot.put_nowait({"n": 2})
    assert [await slot.get(), await slot.get()] == [{"n": 1}, {"n": 2}]
    reading = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    slot.put_nowait({"n": 3})
    slot.put_nowait({"n": 4})
    assert await asyncio.wait_for(reading, 5) == {"n": 3} and await slot.get() == {"n": 4}


async def test_a_reader_that_was_cancelled_takes_nothing_along() -> None:
    slot = Mailslot()
    reading = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    slot.put_nowait({"n": 1})
    assert await asyncio.wait_for(slot.get(), 5) == {"n": 1}
