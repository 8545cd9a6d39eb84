"""The mailbox over a channel layer: a subscription that is dead without a word is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from realtime.adapters.mailbox import LayerMailbox
from realtime.clock import SystemClock


class Layer:
    """A channel layer in memory whose subscriptions can go dead: what is sent then reaches nobody."""

    def __init__(self) -> None:
        self.queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self.groups: dict[str, set[str]] = {}
        self.dead: set[str] = set()

    async def new_channel(self) -> str:
        name = f"c{len(self.queues) + len(self.dead)}"
        self.queues[name] = asyncio.Queue()
        return name

    async def receive(self, channel: str) -> dict[str, Any]:
        return await self.queues[channel].get()

    async def group_add(self, group: str, channel: str) -> None:
        self.groups.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        self.groups[group].discard(channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for channel in self.groups.get(group, set()) - self.dead:
            self.queues[channel].put_nowait(message)

    async def flush(self) -> None:
        self.queues.clear()
        self.groups.clear()


async def test_after_a_renewal_what_is_said_in_its_rooms_arrives_again() -> None:
    layer, heard = Layer(), asyncio.Queue[tuple[str, bytes]]()
    mailbox = LayerMailbox(layer, SystemClock(), timeout_s=5.0, queue_max=10)
    await mailbox.start(lambda room, parcel: heard.put_nowait((room, parcel)))
    try:
        await mailbox.subscribe("rose")
        mailbox.send("rose", [b"1"])
        async with asyncio.timeout(5):
            assert await heard.get() == ("rose", b"1")
            layer.dead |= layer.queues.keys()
            mailbox.send("rose", [b"2"])
            await asyncio.sleep(0)
            await mailbox.renew()
            while not layer.groups.get("room.rose"):
                await asyncio.sleep(0)
            mailbox.send("rose", [b"3"])
            assert await heard.get() == ("rose", b"3")
    finally:
        await mailbox.stop()


class RoundTrips(Layer):
    """Counts how often it is asked, as one that takes many groups at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def group_add_many(self, groups: Iterable[str], channel: str) -> None:
        self.asked.append(len(list(groups)))
        for group in groups:
            await self.group_add(group, channel)
        await asyncio.sleep(0)

    async def group_send_many(self, messages: dict[str, dict[str, Any]]) -> None:
        self.asked.append(len(messages))
        for group, message in messages.items():
            await self.group_send(group, message)


async def test_a_crowd_of_rooms_takes_few_round_trips() -> None:
    layer, heard = RoundTrips(), asyncio.Queue[str]()
    mailbox = LayerMailbox(layer, SystemClock(), timeout_s=5.0, queue_max=1_000)
    await mailbox.start(lambda room, parcel: heard.put_nowait(room))
    rooms = [f"r{n}" for n in range(200)]
    try:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)  # it has its channel
            await asyncio.gather(*(mailbox.subscribe(room) for room in rooms))
            assert sum(layer.asked) == 200 and len(layer.asked) <= 2
            for room in rooms:
                mailbox.send(room, [b"news"])
            assert [await heard.get() for _ in rooms] == rooms
        assert layer.asked[-1] == 200
    finally:
        await mailbox.stop()


async def test_one_that_was_never_started_has_nothing_to_renew() -> None:
    layer = Layer()
    mailbox = LayerMailbox(layer, SystemClock(), timeout_s=1.0, queue_max=10)
    await mailbox.renew()
    await mailbox.stop()
    assert not layer.groups
