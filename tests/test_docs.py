"""The documentation says what the code does: every sample decodes, every code, kind and setting is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from realtime.closing import CloseCode
from realtime.config import RealtimeConfig
from realtime.errors import RealtimeError
from realtime.kinds import KINDS, decode_data
from realtime.messages import ToClient, ToServer, decode_to_client, decode_to_server

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"```json ?([a-z-]*)\n(.+?)\n```", PROTOCOL, re.DOTALL)


def samples(mark: str) -> list[str]:
    return [text for found, text in SAMPLES if found == mark]


@pytest.mark.parametrize("text", samples(""))
def test_samples_from_the_server_decode(text: str) -> None:
    message = decode_to_client(text)
    assert type(message).__name__.lower() == json.loads(text)["t"]
    assert set(json.loads(text)) - {"t"} <= {field.encode_name for field in msgspec.structs.fields(message)}


@pytest.mark.parametrize("text", samples("to-server"))
def test_samples_to_the_server_decode_and_their_data_fits(text: str) -> None:
    message = decode_to_server(text)
    if json.loads(text)["t"] == "publish":
        assert decode_data(KINDS[message.kind], message.data)


@pytest.mark.parametrize(("base", "mark"), [(ToClient, ""), (ToServer, "to-server")])
def test_every_message_has_a_sample(base: type[msgspec.Struct], mark: str) -> None:
    shown = {json.loads(text)["t"] for text in samples(mark)}
    assert {cls.__name__.lower() for cls in base.__subclasses__()} == shown


def test_every_close_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PROTOCOL, re.MULTILINE)}
    assert documented == {int(code) for code in CloseCode}


def test_every_error_code_is_documented() -> None:
    def codes(cls: type[RealtimeError]) -> set[str]:
        ours = (sub for sub in cls.__subclasses__() if sub.__module__ == "realtime.errors")  # the client has its own
        return {cls.code}.union(*(codes(sub) for sub in ours))

    documented = re.findall(r"^\| `([a-z_]+)` \| \d{3}", PROTOCOL, re.MULTILINE)
    assert set(documented) == codes(RealtimeError)


def test_every_kind_is_documented_with_its_priority() -> None:
    documented = dict(re.findall(r"^\| `([a-z.]+)` \| (P\d)", PROTOCOL, re.MULTILINE))
    assert documented == {kind.name: kind.priority.name for kind in KINDS.values()}


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(WEDSYNC_[A-Z_]+)` \| ([^|]*?) \|", text, re.MULTILINE))
    config = RealtimeConfig()
    for field in msgspec.structs.fields(RealtimeConfig):
        default = getattr(config, field.name)
        shown = default if not isinstance(default, tuple) else ",".join(default)
        assert documented.get(f"WEDSYNC_{field.name.upper()}") == str(shown), field.name
