"""Whether a connection agrees on compression."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from realtime.compression import DEFLATE_EXTENSION, CompressionMiddleware
from realtime.config import RealtimeConfig
from realtime.deflate import Inflater
from realtime.errors import TooLarge


async def agreed(*offers: bytes, extension: bool = True, config: RealtimeConfig | None = None) -> list[tuple[str, Inflater]]:
    """What the server is told for a handshake with `offers`. Fails when the application is not called as it was."""
    told: list[tuple[str, Inflater]] = []
    called: list[Any] = []
    extensions = {DEFLATE_EXTENSION: lambda *answer: told.append(answer)} if extension else {}
    headers = [(b"host", b"wed.test"), *((b"sec-websocket-extensions", offer) for offer in offers)]
    scope = {"type": "websocket", "headers": headers, "extensions": extensions}

    async def application(*args: Any) -> None:
        called.extend(args)

    await CompressionMiddleware(application, config or RealtimeConfig())(scope, "receive", "send")
    assert called == [scope, "receive", "send"]
    return told


async def test_an_offer_is_answered_and_its_messages_have_a_limit() -> None:
    ((answer, inflater),) = await agreed(b"permessage-deflate; client_max_window_bits")
    assert answer.startswith("permessage-deflate; server_no_context_takeover")
    inflater.start()
    with pytest.raises(TooLarge, match="65536"):
        inflater.take(zlib.compress(bytes(65_537), wbits=-15))


async def test_several_headers_are_one_list_of_offers() -> None:
    assert len(await agreed(b"permessage-deflate; server_max_window_bits=9", b"permessage-deflate")) == 1


@pytest.mark.parametrize(
    "case",
    [
        {"extension": False},
        {"config": RealtimeConfig(compression=False)},
    ],
    ids=["a server that answers offers itself", "switched off"],
)
async def test_it_stands_aside(case: dict[str, Any]) -> None:
    assert await agreed(b"permessage-deflate", **case) == []


async def test_nothing_is_answered_that_was_not_offered() -> None:
    assert await agreed() == [] and await agreed(b"permessage-deflate; server_max_window_bits=9") == []
