"""channels-redis's pub/sub layer, with many groups in one round trip.

It waits for Redis once for each group, under a lock: a process that holds hundreds of rooms and whose loop is busy then gets a
few dozen messages a second out, and as many subscriptions done, and what it says reaches the others seconds late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer


class PipelinedLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # it has no types
    """Leans on attributes of `RedisPubSubLoopLayer` that are not public: tests/contracts/test_mailbox.py guards them."""

    async def group_send_many(self, messages: Mapping[str, dict[str, Any]]) -> None:
        """Send {group: message}, as `group_send` does for each. Raises what the client of Redis raises."""
        layer = self._get_layer()
        texts: defaultdict[Any, list[tuple[str, bytes]]] = defaultdict(list)
        for group, message in messages.items():
            name = layer._get_group_channel_name(group)
            texts[layer._get_shard(name)].append((name, self.serialize(message)))
        for shard, said in texts.items():
            async with shard._lock:
                shard._ensure_redis()
                async with shard._redis.pipeline(transaction=False) as pipeline:
                    for name, text in said:
                        pipeline.publish(name, text)
                    await pipeline.execute()

    async def group_add_many(self, groups: Iterable[str], channel: str) -> None:
        """Add `channel` of this process to each group, as `group_add` does. Raises what the client of Redis raises."""
        layer = self._get_layer()
        if channel not in layer.channels:
            raise RuntimeError("only a channel of this process can be added to a group")
        wanted: defaultdict[Any, list[str]] = defaultdict(list)
        for group in groups:
            name = layer._get_group_channel_name(group)
            layer.groups.setdefault(name, set()).add(channel)
            wanted[layer._get_shard(name)].append(name)
        for shard, names in wanted.items():
            async with shard._lock:
                if new := [name for name in names if name not in shard._subscribed_to]:
                    shard._ensure_redis()
                    shard._ensure_receiver()
                    await shard._pubsub.subscribe(*new)
                    shard._subscribed_to.update(new)
