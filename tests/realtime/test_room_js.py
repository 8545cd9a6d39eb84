"""The browser's state.js reduces a log to the same state as Python's, and knows the same kinds."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime.kinds import KINDS, Priority
from realtime.messages import Pub, encode
from tests.realtime.test_state import LOG, NOW, after

STATE_JS = Path(__file__).parents[2] / "realtime" / "static" / "realtime" / "state.js"


def in_node(script: str, data: object = None) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    source = f'import * as state from "{STATE_JS.as_uri()}";\nconst data = {json.dumps(data)};\n{script}'
    # Read as a module whatever the file is called: there is no package.json here.
    command = [node, "--no-warnings", "--experimental-default-type=module", "--input-type=module", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_json(pub: Pub) -> Any:
    return msgspec.json.decode(encode(pub))


def test_the_browser_knows_the_same_kinds() -> None:
    mine = in_node(
        "console.log(JSON.stringify({keyed: state.KEYED, keyless: [...state.KEYLESS], ephemeral: [...state.EPHEMERAL],"
        " urgent: [...state.URGENT]}))"
    )
    kept = [kind for kind in KINDS.values() if kind.durable and not kind.acts and kind.publishers]
    assert mine["keyed"] == {kind.name: kind.coalesce_key for kind in kept if kind.coalesce_key}
    assert set(mine["keyless"]) == {kind.name for kind in kept if not kind.coalesce_key}
    assert set(mine["ephemeral"]) == {kind.name for kind in KINDS.values() if not kind.durable}
    assert set(mine["urgent"]) == {kind.name for kind in KINDS.values() if kind.priority == Priority.P0}


def test_the_browser_reduces_to_the_same_state_in_any_order() -> None:
    rng = random.Random(4)
    logs = [LOG] + [rng.sample(LOG, len(LOG)) + rng.choices(LOG, k=5) for _ in range(50)]
    states = in_node(
        """console.log(JSON.stringify(data.logs.map((log) => {
             const room = new state.RoomState();
             for (const pub of log) room.take(pub);
             return room.asJson(data.now);
           })))""",
        {"logs": [[as_json(pub) for pub in log] for log in logs], "now": NOW.timestamp() * 1_000},
    )
    assert states == [msgspec.json.decode(encode(after(*LOG).as_json(NOW)))] * len(logs)


def test_the_browser_goes_on_from_a_snapshot() -> None:
    cuts = []
    for cut in range(len(LOG) + 1):
        before = after(*LOG[:cut])
        recent = [as_json(pub) for kind in before.recent.values() for pub in kind.values()]
        latest = [as_json(pub) for pub in before.latest.values()]
        snapshot = {"offset": cut, "items": list(before.items.values()), "latest": latest, "recent": recent}
        cuts.append({"snapshot": snapshot, "rest": [as_json(pub) for pub in LOG[cut:]]})
    states = in_node(
        """console.log(JSON.stringify(data.cuts.map(({snapshot, rest}) => {
             const room = new state.RoomState();
             room.restore(snapshot);
             for (const pub of rest) room.take(pub);
             return room.asJson(data.now);
           })))""",
        {"cuts": cuts, "now": NOW.timestamp() * 1_000},
    )
    assert states == [msgspec.json.decode(encode(after(*LOG).as_json(NOW)))] * len(cuts)
