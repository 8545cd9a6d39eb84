"""The browser's outbox.js: what waits, in which order it is said again."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

OUTBOX_JS = Path(__file__).parents[2] / "realtime" / "static" / "realtime" / "outbox.js"


def in_node(script: str) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    source = f'import {{ Outbox }} from "{OUTBOX_JS.as_uri()}";\nconst box = new Outbox();\nconst log = [];\n{script}\n'
    source += "console.log(JSON.stringify(log));"
    command = [node, "--no-warnings", "--experimental-default-type=module", "--input-type=module", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_emergency_waits_for_nothing_that_was_refused_before_it() -> None:
    script = """
    for (const id of ["chat-1", "chat-2"]) box.add(id, "chat.crew", {}, id);
    log.push(box.take(0));
    box.postpone("chat-1", 1000);
    box.postpone("chat-2", 1000);
    log.push(box.take(500), box.dueAt);
    box.add("fire", "emergency.alert", {}, "fire");
    log.push(box.take(500));
    box.promised("fire");
    log.push(box.take(1000));
    box.again();
    log.push(box.take(1000)[0]);
    """
    assert in_node(script) == [["chat-1", "chat-2"], [], 1000, ["fire"], ["chat-1"], "fire"]


def test_an_emergency_that_is_refused_comes_again_when_it_may_and_holds_nothing_up() -> None:
    script = """
    box.add("fire", "emergency.alert", {}, "fire");
    log.push(box.take(0));
    box.postpone("fire", 5000);
    box.add("chat", "chat.crew", {}, "chat");
    log.push(box.take(1000), box.dueAt, box.take(4999), box.take(5000));
    box.settle("fire");
    log.push(box.take(9000), box.dueAt === Infinity);
    """
    assert in_node(script) == [["fire"], ["chat"], 5000, [], ["fire"], [], True]


def test_why_it_waits_is_known_until_it_is_said_again_on_another_connection() -> None:
    script = """
    box.add("fire", "emergency.alert", {}, "fire");
    box.take(0);
    box.postpone("fire", 5000, { code: "rate_limited", until: 9 });
    log.push(box.entries()[0].refused);
    box.again();
    log.push(box.entries()[0].refused ?? null);
    """
    assert in_node(script) == [{"code": "rate_limited", "until": 9}, None]
