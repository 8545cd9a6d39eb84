"""What a mailbox promises, in memory and over Redis: what is said in a room reaches who subscribed to it, in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from realtime.adapters.mailbox import LayerMailbox
from realtime.adapters.redis_layer import PipelinedLayer
from realtime.clock import SystemClock
from tests.fakes import ManualClock

ROOMS = [f"room-{n}" for n in range(300)]
PATIENCE_S = 20.0


class Listener:
    """A process: its mailbox, and what it heard."""

    def __init__(self, layer: Any) -> None:
        self.mailbox = LayerMailbox(layer, SystemClock(), timeout_s=5.0, queue_max=10_000)
        self.heard: dict[str, list[bytes]] = {}
        self._news = asyncio.Event()

    def receive(self, room: str, parcel: bytes) -> None:
        self.heard.setdefault(room, []).append(parcel)
        self._news.set()

    async def until(self, room: str, parcel: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while parcel not in self.heard.get(room, []):
                self._news.clear()
                await self._news.wait()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.acceptance)])
async def process(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Listener]]:
    """Makes processes, each with a layer of its own where Redis joins them."""
    shared = InMemoryChannelLayer() if request.param == "memory" else None
    url = request.getfixturevalue("redis_url") if shared is None else ""
    layers: list[Any] = []
    listeners: list[Listener] = []

    def make() -> Listener:
        layers.append(shared or PipelinedLayer(hosts=[url]))
        listeners.append(Listener(layers[-1]))
        return listeners[-1]

    yield make
    for listener in listeners:
        await listener.mailbox.stop()
    for layer in layers:
        await layer.flush()


async def test_what_is_said_in_many_rooms_arrives_in_order(process: Callable[[], Listener]) -> None:
    here, there = process(), process()
    for listener in (here, there):
        await listener.mailbox.start(listener.receive)
    await asyncio.gather(*(there.mailbox.subscribe(room) for room in ROOMS))
    for number in range(3):
        for room in ROOMS:
            here.mailbox.send(room, [b"%d" % number])
        await asyncio.sleep(0)
    for room in ROOMS:
        await there.until(room, b"2")
    assert there.heard == {room: [b"0", b"1", b"2"] for room in ROOMS}
    assert here.heard == {} and here.mailbox.dropped_total == 0


async def test_who_has_left_a_room_hears_no_more_of_it(process: Callable[[], Listener]) -> None:
    here, there = process(), process()
    for listener in (here, there):
        await listener.mailbox.start(listener.receive)
    await asyncio.gather(*(there.mailbox.subscribe(room) for room in ("a", "b")))
    await there.mailbox.unsubscribe("a")
    here.mailbox.send("a", [b"not for you"])
    here.mailbox.send("b", [b"for you"])
    await there.until("b", b"for you")
    assert "a" not in there.heard


async def test_after_a_renewal_all_rooms_are_heard_again(process: Callable[[], Listener]) -> None:
    here, there = process(), process()
    for listener in (here, there):
        await listener.mailbox.start(listener.receive)
    await asyncio.gather(*(there.mailbox.subscribe(room) for room in ROOMS))
    await there.mailbox.renew()
    async with asyncio.timeout(PATIENCE_S):
        while len(there.heard) < len(ROOMS):
            for room in ROOMS:
                here.mailbox.send(room, [b"again"])
            await asyncio.sleep(0.01)
    assert here.mailbox.healthy and there.mailbox.healthy


async def test_what_does_not_fit_into_the_queue_is_counted_and_no_secret() -> None:
    clock = ManualClock()
    clock.advance(5)
    mailbox = LayerMailbox(InMemoryChannelLayer(), clock, timeout_s=1.0, queue_max=1)
    mailbox.send("a", [b"one"])
    assert (mailbox.dropped_total, mailbox.sick_s) == (0, -math.inf)
    mailbox.send("a", [b"too many"])
    assert (mailbox.dropped_total, mailbox.sick_s) == (1, 5.0)
