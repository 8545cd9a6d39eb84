"""Mailboxes: how publications reach the other processes. One channel a process on the channel layer, a group for each room."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from realtime.clock import Clock

logger = logging.getLogger(__name__)

Receive = Callable[[str, bytes], None]


def group_name(room: str) -> str:
    """The group of a room on the channel layer; slugs are valid group names."""
    return f"room.{room}"


class NoMailbox:
    """For a process that has no others."""

    healthy: bool | None = None
    sick_s = -math.inf

    async def start(self, receive: Receive) -> None:
        pass

    async def subscribe(self, room: str) -> None:
        pass

    async def unsubscribe(self, room: str) -> None:
        pass

    def send(self, room: str, parcels: Iterable[bytes]) -> None:
        pass

    async def renew(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class LayerMailbox:
    """Over a Channels layer. While a send is under way the next parcels of each room are joined into one message.

    Everything is bounded and nothing raises: when the layer is sick, parcels are dropped and counted, and the hubs notice by
    asking the journal.
    """

    def __init__(self, layer: Any, clock: Clock, *, timeout_s: float, queue_max: int) -> None:
        self.dropped_total = 0
        self.healthy: bool | None = True
        self.sick_s = -math.inf
        self._layer = layer
        self._clock = clock
        self._timeout_s = timeout_s
        self._queue_max = queue_max
        self._queue: deque[tuple[str, bytes]] = deque()
        self._filled = asyncio.Event()
        self._wanted: set[str] = set()
        self._joined: set[str] = set()
        self._joining = asyncio.Lock()
        self._channel = ""
        self._receive: Receive | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    async def start(self, receive: Receive) -> None:
        self._receive = receive
        self._receiver = asyncio.create_task(self._receiving(receive), name="mailbox receiver")
        self._sender = asyncio.create_task(self._sending(), name="mailbox sender")

    async def stop(self) -> None:
        for task in (self._receiver, self._sender):
            await _ended(task)

    async def renew(self) -> None:
        if self._receive is not None:
            # While this task is cancelled nobody unsubscribes: the connection it would say so on may be the dead one.
            receiver, self._channel, self.sick_s = self._receiver, "", self._clock.monotonic()
            await self._within_timeout(self._layer.flush)
            await _ended(receiver)
            self._channel = ""  # it may have got a new one from the layer that was flushed
            self._receiver = asyncio.create_task(self._receiving(self._receive), name="mailbox receiver")

    async def subscribe(self, room: str) -> None:
        self._wanted.add(room)
        if self._channel:
            await self._within_timeout(self._join)

    async def unsubscribe(self, room: str) -> None:
        self._wanted.discard(room)
        if room in self._joined:
            self._joined.discard(room)
            await self._within_timeout(self._layer.group_discard, group_name(room), self._channel)

    def send(self, room: str, parcels: Iterable[bytes]) -> None:
        for parcel in parcels:
            if len(self._queue) >= self._queue_max:
                self.dropped_total, self.sick_s = self.dropped_total + 1, self._clock.monotonic()
            else:
                self._queue.append((room, parcel))
        self._filled.set()

    async def _join(self) -> None:
        """All that are wanted and not joined yet; who waits here finds most of it done by the one before."""
        async with self._joining:
            channel, rooms = self._channel, self._wanted - self._joined
            if not channel or not rooms:
                return
            groups = [group_name(room) for room in rooms]
            if hasattr(self._layer, "group_add_many"):
                await self._layer.group_add_many(groups, channel)
            else:
                for group in groups:
                    await self._layer.group_add(group, channel)
            if channel == self._channel:
                self._joined |= rooms
            for room in self._joined - self._wanted:  # left meanwhile
                self._joined.discard(room)
                await self._layer.group_discard(group_name(room), channel)

    async def _within_timeout(self, call: Callable[..., Any], *args: object) -> bool:
        """Whether the layer did it in time. It may raise whatever its client library raises."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await call(*args)
        except Exception as error:
            if self.healthy:
                logger.warning("the channel layer is sick: %r", error)
            self.healthy, self.sick_s = False, self._clock.monotonic()
            return False
        self.healthy = True
        return True

    async def _sending(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            if self._channel and not self._wanted <= self._joined:
                await self._within_timeout(self._join)
            rooms: dict[str, list[bytes]] = {}
            while self._queue:
                room, parcel = self._queue.popleft()
                rooms.setdefault(room, []).append(parcel)
            messages = {group_name(room): {"type": "parcels", "room": room, "parcels": p} for room, p in rooms.items()}
            if messages and not await self._within_timeout(self._publish, messages):
                self.dropped_total += sum(map(len, rooms.values()))

    async def _publish(self, messages: dict[str, dict[str, Any]]) -> None:
        if hasattr(self._layer, "group_send_many"):
            await self._layer.group_send_many(messages)
        else:
            for group, message in messages.items():
                await self._layer.group_send(group, message)

    async def _receiving(self, receive: Receive) -> None:
        while True:
            try:
                if not self._channel:
                    self._channel = await self._layer.new_channel()
                    self._joined.clear()
                    self._filled.set()
                message = await self._layer.receive(self._channel)
            except Exception as error:
                logger.warning("nothing can be received from the channel layer: %r", error)
                self._channel, self.sick_s = "", self._clock.monotonic()
                await self._clock.sleep(self._timeout_s)
                continue
            for parcel in message["parcels"]:
                try:
                    receive(message["room"], parcel)
                except Exception:  # one parcel must not make this process deaf to all that follow
                    logger.exception("a parcel for %s could not be taken", message["room"])


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
