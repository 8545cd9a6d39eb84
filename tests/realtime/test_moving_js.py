"""The browser changes processes without a gap and without saying or showing anything twice (`moving.js`)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "realtime" / "static" / "realtime"
SCRIPT = """
const sockets = [];
globalThis.WebSocket = class {
  static OPEN = 1;
  readyState = 1;
  sent = [];
  closed = false;
  constructor(url, protocols) { Object.assign(this, { url, protocols }); sockets.push(this); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.closed = true; }
  says(message) { this.onmessage({ data: JSON.stringify(message) }); }
};
// A clock that is turned by hand.
let now = 0;
let timers = [];
globalThis.performance = { now: () => now };
globalThis.setTimeout = (run, ms = 0) => (timers.push({ run, at: now + ms }), timers.at(-1));
globalThis.clearTimeout = (timer) => (timers = timers.filter((other) => other !== timer));
const turn = (ms) => {
  const until = now + ms;
  for (;;) {
    const next = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
    if (!next) break;
    timers.splice(timers.indexOf(next), 1);
    now = Math.max(now, next.at);
    next.run();
  }
  now = until;
};
const { MovingLink } = await import("URL");
const got = [];
const tickets = [];
const closed = [];
const link = new MovingLink("ws://h/ws/weddings/r/?lead=1", ["wedsync.v1"], {
  opened: () => {}, received: (m) => got.push(m), closed: (code) => closed.push(code), resumed: (t) => tickets.push(t),
});
const from = { member: "m" };
const pub = (offset) => ({ t: "pub", kind: "chat.crew", id: `p${offset}`, from, offset, prev: offset - 1 });
const clap = (id) => ({ t: "pub", kind: "reaction", id, from: { member: "m" } });
const say = (id) => ({ t: "publish", id, kind: "chat.crew", data: {} });
const first = sockets[0];
first.onopen();
first.says({ t: "welcome", epoch: "e", resume: "t1", heartbeat_s: 25, recovered: false });
first.says({ t: "snapshot", offset: 7 });
first.says({ t: "live", up_to: 7 });
link.send(say("a"));
first.says({ t: "move", reason: "deploy", within_ms: 10000 });
turn(250);
const second = sockets[1];
BODY
"""


def in_node(body: str) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    source = SCRIPT.replace("URL", (STATIC / "moving.js").as_uri(), 1).replace("BODY", body)
    command = [node, "--no-warnings", "--experimental-default-type=module", "--input-type=module", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ARRIVE = """
second.onopen();
second.says({ t: "welcome", epoch: "e", resume: "t2", heartbeat_s: 25, recovered: true });
second.says({ t: "live", up_to: 7 });
"""


def test_the_second_connection_resumes_where_the_first_one_is() -> None:
    url, protocols = in_node("console.log(JSON.stringify([second.url, second.protocols]));")
    assert url == "ws://h/ws/weddings/r/?lead=1&epoch=e&since=7"
    assert protocols == ["wedsync.v1", "ticket.t1"]


def test_what_is_ephemeral_comes_once_and_the_first_connection_is_closed_after_a_moment() -> None:
    shown = in_node(
        ARRIVE
        + """
        for (const id of ["x", "y"]) { first.says(clap(id)); second.says(clap(id)); }
        second.says(clap("z")); first.says(clap("z"));
        const early = first.closed;
        first.says({ t: "ok", ref: "a" });
        turn(600);
        second.says(clap("after"));
        console.log(JSON.stringify({
          ids: got.filter((m) => m.t === "pub").map((m) => m.id), early, late: first.closed, tickets, closed,
        }));"""
    )
    assert shown == {"ids": ["x", "y", "z", "after"], "early": False, "late": True, "tickets": ["t1", "t2"], "closed": []}


def test_the_process_that_it_comes_to_hears_how_far_it_is() -> None:
    assert in_node(
        ARRIVE.replace('second.says({ t: "live"', 'second.says(pub(8)); second.says({ t: "live"')
        + 'turn(3000); console.log(JSON.stringify(second.sent.filter((m) => m.t === "ack").map((m) => m.offset)));'
    ) == [8]


def test_what_is_said_waits_for_the_answers_on_the_first_connection() -> None:
    before, after = in_node(
        ARRIVE
        + """
        link.send(say("b"));
        const said = () => second.sent.filter((m) => m.t === "publish").map((m) => m.id);
        const before = said();
        first.says({ t: "ok", ref: "a" });
        console.log(JSON.stringify([before, said()]));"""
    )
    assert (before, after) == ([], ["b"])


def test_what_the_first_connection_never_answers_is_said_again() -> None:
    said = in_node(
        ARRIVE
        + """
        link.send(say("b"));
        turn(2600);
        console.log(JSON.stringify(second.sent.filter((m) => m.t === "publish").map((m) => m.id)));"""
    )
    assert said == ["a", "b"]


def test_what_is_ephemeral_is_not_said_again() -> None:
    photos, answers = in_node(
        """
        const photo = (id) => ({ t: "publish", id, kind: "photo.new", data: {} });
        link.send(photo("b"));"""
        + ARRIVE
        + """
        first.says({ t: "ok", ref: "a" });
        turn(2600);
        link.send(photo("c"));
        const said = sockets.map((socket) => socket.sent.filter((m) => m.t === "publish").map((m) => m.id));
        console.log(JSON.stringify([said, got.filter((m) => m.ref).map(({ ref, code = "ok" }) => [ref, code])]));"""
    )
    assert photos == [["a", "b"], ["c"]]
    assert answers == [["a", "ok"], ["b", "connection_lost"]], "whether it came is not known"


def test_what_was_said_on_the_second_connection_is_not_said_there_again() -> None:
    said = in_node(
        ARRIVE
        + """
        first.says({ t: "ok", ref: "a" });
        link.send(say("b"));
        turn(2600);
        console.log(JSON.stringify(second.sent.filter((m) => m.t === "publish").map((m) => m.id)));"""
    )
    assert said == ["b"]


def test_a_second_connection_that_fails_is_tried_again_while_the_first_one_goes_on() -> None:
    count, ids, closed = in_node(
        """
        second.onclose({ code: 1006 });
        first.says(pub(8));
        turn(1600);
        console.log(JSON.stringify([sockets.length, got.filter((m) => m.t === "pub").map((m) => m.id), closed]));
        """
    )
    assert (count, ids, closed) == (3, ["p8"], [])


@pytest.mark.parametrize("news", ['{ t: "pong", resume: "t9" }', '{ t: "move", reason: "again", within_ms: 1, resume: "t9" }'])
def test_the_newest_ticket_is_taken(news: str) -> None:
    protocols, tickets = in_node(
        f"""
        first.says({news});
        second.onopen(); second.onclose({{ code: 1006 }});
        turn(1600);
        console.log(JSON.stringify([sockets[2].protocols, tickets]));
        """
    )
    assert (protocols[1], tickets) == ("ticket.t9", ["t1", "t9"])


def test_a_second_connection_that_is_not_let_in_is_tried_with_the_session_and_with_the_ticket_in_turn() -> None:
    tried = in_node(
        """
        for (let n = 1; n < 4; n += 1) { sockets[n].onclose({ code: 1006 }); turn(1600); }
        console.log(JSON.stringify(sockets.slice(1).map(({ protocols }) => protocols[1] ?? "session")));
        """
    )
    assert tried == ["ticket.t1", "session", "ticket.t1", "session"]


@pytest.mark.parametrize(
    "another", ['epoch: "another", recovered: false', 'epoch: "e", recovered: true, member: { member: "somebody else" }']
)
def test_without_anything_to_go_on_from_it_comes_back_in_the_usual_way(another: str) -> None:
    closed, dropped = in_node(
        """
        second.onopen();
        second.says({ t: "welcome", resume: "t2", heartbeat_s: 25, ANOTHER });
        console.log(JSON.stringify([closed, sockets.map((socket) => socket.closed)]));
        """.replace("ANOTHER", another)
    )
    assert (closed, dropped) == ([1006], [True, True])


def test_an_emergency_that_was_only_promised_is_said_again_when_the_first_connection_goes() -> None:
    promised, kept = (
        in_node(
            """
            first.says({ t: "ok", ref: "a", provisional: true });"""
            + ARRIVE
            + answer
            + """
            turn(600);
            console.log(JSON.stringify([first.closed, second.sent.filter((m) => m.t === "publish").map((m) => m.id)]));"""
        )
        for answer in ("", 'first.says({ t: "ok", ref: "a", offset: 8 });')
    )
    assert promised == [True, ["a"]]
    assert kept == [True, []]
