"""The browser's state.js reduces a log to the same state as Python's, and knows the same kinds; room.js over a fake network."""

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
NETWORK = Path(__file__).parent / "room.mjs"


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


def in_room(script: str) -> Any:
    """What `script` prints, with a network and a clock of its own (`room.mjs`) and the class `Room`."""
    imports = f'import {{ me, server, sockets, turn, welcome }} from "{NETWORK.as_uri()}";\n'
    room = f'const {{ Room }} = await import("{STATE_JS.with_name("room.js").as_uri()}");\n'
    return in_node(imports + room + script + "\nprocess.exit(0);")


def test_what_others_had_of_another_journal_says_nothing_of_this_one() -> None:
    told, receipts = in_room(
        """
        let journal = { epoch: "e1", offset: 5000 };
        server.knock = (socket) => {
          socket.accept();
          const recovered = socket.url.includes(`epoch=${journal.epoch}`);
          socket.says(welcome({ epoch: journal.epoch, recovered }));
          if (!recovered) socket.says({ t: "snapshot", offset: journal.offset, items: [], latest: [], recent: [] });
          socket.says({ t: "live", up_to: journal.offset, receipts: recovered ? [["m2", 5000, 20]] : [] });
        };
        const room = new Room("r", { member: "m1", epoch: "e1", since: 5000 });
        const told = [];
        room.addEventListener("welcome", ({ detail }) => told.push(detail.replaced));
        room.start();
        await turn(1000);
        sockets.at(-1).end(1006);
        await turn(2000);
        const before = room.receipts.get("m2");
        journal = { epoch: "e2", offset: 3000 };
        sockets.at(-1).end(4020);
        await turn(2000);
        sockets.at(-1).says({ t: "pub", kind: "receipts", id: "", from: me, data: { receipts: [["m3", 3000, 5]] } });
        console.log(JSON.stringify([told, [before, Object.fromEntries(room.receipts)]]));"""
    )
    assert told == [False, False, True]
    assert receipts == [[5000, 20], {"m3": [3000, 5]}]


@pytest.mark.parametrize("opens_ms", [100, 4_000])
def test_what_an_earlier_page_has_left_is_sent_and_kept_however_long_the_browser_takes_to_find_it(opens_ms: int) -> None:
    sent, rows, pending = in_room(
        f"""
        const text = (id) => JSON.stringify({{ t: "publish", id, kind: "chat.crew", data: {{ text: id }} }});
        const rows = [{{ name: "r/m1", id: "old", n: 1, text: text("old"), kind: "chat.crew", data: {{}}, at: 0 }}];
        const given = (result, ms = 1) => {{
          const request = {{ result }};
          setTimeout(() => request.onsuccess?.(), ms);
          return request;
        }};
        const store = {{ getAll: () => given([...rows]), put: (row) => given(rows.push(row)), delete: () => given() }};
        const db = {{ transaction: () => ({{ objectStore: () => ({{ ...store, transaction: {{}} }}) }}), close() {{}} }};
        globalThis.indexedDB = {{ open: () => given(db, {opens_ms}) }};
        globalThis.IDBKeyRange = {{ bound: () => 0 }};
        const room = new Room("r", {{ member: "m1", epoch: "e1", since: 7 }});
        let pending;
        room.addEventListener("pending", ({{ detail }}) => (pending = [detail.entries.map((entry) => entry.id), detail.kept]));
        room.start();
        await turn(3_000);
        void room.publish("chat.crew", {{ text: "new" }}, {{ id: "new" }});
        await turn(3_000);
        const sent = sockets[0].said("publish").map((message) => message.id);
        console.log(JSON.stringify([sent.sort(), rows.map((row) => [row.id, row.n]), pending]));"""
    )
    assert (sent, rows, pending) == (["new", "old"], [["old", 1], ["new", 2]], [["old", "new"], True])


def test_the_page_is_told_why_something_waits_and_until_when() -> None:
    said = in_room(
        """
        let refusing = true;
        server.hear = (socket, { t, id }) => {
          if (t !== "publish") return;
          if (refusing) socket.says({ t: "error", ref: id, code: "rate_limited", message: "", retry_after_ms: 73_000 });
          else socket.says({ t: "ok", ref: id, offset: 8 });
        };
        Date.now = () => performance.now() + 5_000_000;
        const room = new Room("r", { member: "m1", epoch: "e1", since: 7 });
        const told = [];
        room.addEventListener("pending", ({ detail }) => {
          const left = ({ until }) => Math.round((until - Date.now()) / 1000);
          told.push(detail.entries.map(({ refused }) => refused && [refused.code, left(refused)]));
        });
        room.start();
        await turn(3_000);
        const published = room.publish("emergency.alert", { alert: "a" });
        await turn(1_000);
        const held = told.at(-1);
        refusing = false;
        await turn(75_000);
        await published;
        console.log(JSON.stringify([held, told.at(-1)]));"""
    )
    assert said == [[["rate_limited", 73]], []]


def test_the_server_tells_the_time_when_it_is_asked() -> None:
    told = in_room(
        """
        server.hear = (socket, { t, ref }) => t === "ping" && socket.says({ t: "pong", ref, at: "2027-06-12T12:00:00Z" });
        const room = new Room("r", { member: "m1", epoch: "e1", since: 7 });
        const told = [];
        room.addEventListener("time", ({ detail }) => told.push(new Date(detail.at).toISOString()));
        room.ask();
        room.start();
        await turn(60_000);
        const unasked = told.length;
        room.ask();
        await turn(1_000);
        console.log(JSON.stringify([unasked, told]));"""
    )
    assert told == [0, ["2027-06-12T12:00:00.000Z"]]
