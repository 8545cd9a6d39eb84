"""What a process without a loop of its own tells the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime import bootstrap
from realtime.config import RealtimeConfig
from realtime.draft import draft
from realtime.services import Services

CONFIG = RealtimeConfig(mailbox_timeout_s=0.01)


class Layer:
    """A channel layer that answers, refuses or hangs."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.told: list[tuple[str, int]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.told.append((group, len(message["parcels"])))
        if self.how == "refuses":
            raise OSError
        if self.how == "hangs":
            await asyncio.Event().wait()


@pytest.mark.parametrize(("how", "tried"), [("answers", 3), ("refuses", 1), ("hangs", 1)])
def test_a_command_does_not_wait_for_a_layer_that_is_sick(how: str, tried: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer(how)
    monkeypatch.setattr(bootstrap, "get_channel_layer", lambda: layer)
    parts: Services = bootstrap.build(CONFIG)
    clap = draft(CONFIG, "w", "reaction", {"target": "t", "emoji": "x"})
    parts.announce([parts.hub.fleeting_entry(clap)] * 3)
    assert layer.told == [("room.w", 1)] * tried
