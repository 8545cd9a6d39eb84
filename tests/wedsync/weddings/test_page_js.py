"""What a wedding's page does with what is typed and heard, without a browser: the plan, undo, emergencies, forms."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from wedsync.weddings.views import SCRIPTS

STATIC = Path(__file__).parents[3] / "wedsync/weddings/static"
REALTIME = Path(__file__).parents[3] / "realtime/static/realtime"
IMPORT = 'import { clock, form, item, load, page, soon } from "./page.mjs";'
PAGE = Path(__file__).parent / "page.mjs"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs a script beside the scripts of the page, as they are served; gives what it printed."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    shutil.copytree(STATIC / "weddings", tmp_path / "weddings")
    shutil.copytree(REALTIME, tmp_path / "realtime")
    shutil.copy(PAGE, tmp_path / "page.mjs")
    (tmp_path / "package.json").write_text('{"type": "module"}')

    def run(script: str) -> Any:
        file = tmp_path / "script.mjs"
        file.write_text(f"{IMPORT}\n{script}\nprocess.exit(0);\n")
        command = ["node", str(file), str(tmp_path / "weddings")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


BEHIND = """
const asking = form({ from: "", minutes: "", reason: "", apply: "" });
const items = [item(1, "13:00", "Photos"), item(5, "13:35", "Ceremony"), item(6, "14:05", "Drinks")];
page({ items, parts: { "[data-behind]": asking } });
const asked = [];
globalThis.fetch = async (url) => {
  const shown = Number(new URLSearchParams(url.split("?")[1]).get("item"));
  asked.push(shown);
  const moves = [{ item: shown, start: "2027-06-12T13:50:00Z" }];
  return { ok: true, json: async () => ({ moves, stays: [], absorbed: {}, conflicts: [] }) };
};
const { showBehind } = await load("behind");
const { room } = await load("live");
const said = [];
room.publish = async (kind, data) => said.push(data.item);
showBehind();
asking.elements.minutes.value = "15";
asking.fire("input", { target: { name: "minutes" } });
await soon(200);
const apply = () => (asking.fire("submit"), console.log(JSON.stringify([asked.at(-1), said[0]])));
"""


def test_what_is_applied_is_what_was_shown_also_when_a_minute_has_passed(run: Any) -> None:
    assert run(BEHIND + 'clock.now = Date.parse("2027-06-12T13:35:01Z"); showBehind(); await soon(200); apply();') == [5, 5]


def test_what_is_applied_is_what_was_shown_also_when_somebody_has_done_that_item(run: Any) -> None:
    shown, applied = run(BEHIND + 'room.state.items.get(5).status = "completed"; showBehind(); await soon(200); apply();')
    assert shown == applied == 6


UNDO = """
const asking = form({ from: "", minutes: "", reason: "", apply: "" });
const fields = page({ items: [item(5, "13:35", "Ceremony")], parts: { "[data-behind]": asking } });
const { offerUndo, remember } = await load("behind");
const { room } = await load("live");
const said = [];
room.publish = async (kind, data) => said.push(...data.items);
remember();
const shift = (member, minutes, start, version, live = true) => {
  const result = { items: [item(5, start, "Ceremony", { version })] };
  offerUndo({ kind: "timeline.shift", id: `${version}`, from: { member }, data: { item: 5, minutes }, result }, live);
};
"""


@pytest.mark.parametrize(("who", "live"), [("m2", "true"), ("m1", "true"), ("m2", "false")])
def test_undo_takes_back_my_change_and_not_the_one_before_it(run: Any, who: str, live: str) -> None:
    (taken_back,) = run(
        UNDO
        + f'shift("{who}", 30, "14:05", 2, {live}); shift("m1", 5, "14:10", 3);'
        + 'fields.toasts.children.at(-1).children.at(-1).fire("click"); await soon(); console.log(JSON.stringify(said));'
    )
    assert (taken_back["start"], taken_back["version"]) == ("2027-06-12T14:05:00Z", 3)


@pytest.mark.parametrize(
    ("changes", "starts", "versions"),
    [
        ([("m1", "13:40", 2), ("m1", "13:55", 3), ("m1", "14:00", 4)], ["13:55", "13:40", "13:35"], [4, 5, 6]),
        ([("m1", "13:40", 2), ("m2", "13:50", 3), ("m1", "14:00", 4)], ["13:50", "13:35"], [4, 2]),
    ],
    ids=["all are mine", "somebody else was between them"],
)
def test_what_i_took_back_stands_in_the_way_of_nothing_that_i_changed_before(
    run: Any, changes: list[tuple[str, str, int]], starts: list[str], versions: list[int]
) -> None:
    shifts = "".join(f'shift("{who}", 5, "{start}", {version});' for who, start, version in changes)
    said = run(
        UNDO
        + shifts
        + """
let version = 4;
for (const toast of [...fields.toasts.children].reverse()) {
  toast.children.at(-1).fire("click");
  await soon();
  const sent = said.at(-1);
  const result = { items: [item(5, sent.start.slice(11, 16), "Ceremony", { version: (version += 1) })] };
  offerUndo({ kind: "timeline.restore", id: `r${version}`, from: { member: "m1" }, data: { items: [sent] }, result }, true);
}
console.log(JSON.stringify(said));"""
    )
    assert [set(back) for back in said] == [{"item", "version", "start", "minutes"}] * len(starts)
    assert [back["start"][11:16] for back in said] == starts
    assert [back["version"] for back in said] == versions, "the server refuses a version that is not that of now"


def test_undo_takes_back_what_moved_for_planners_alone_and_nothing_twice(run: Any) -> None:
    taken_back = run(
        UNDO.replace('"Ceremony")]', '"Ceremony"), item(6, "14:30", "Surprise"), item(7, "15:00", "Toast")]', 1)
        + """
const from = { member: "m1" };
const told = (id, items) => offerUndo({ kind: "timeline.items", id, from, data: { items } }, true);
const moved = item(5, "14:05", "Ceremony", { version: 2 });
offerUndo({ kind: "timeline.shift", id: "a", from, data: { item: 5, minutes: 30 }, result: { items: [moved] } }, true);
told("a~9", [item(6, "15:00", "Surprise", { version: 2 })]);
told("a~127", [moved]);
told("b~9", [item(7, "15:30", "Toast", { version: 2 })]);
fields.toasts.children.at(-1).children.at(-1).fire("click"); await soon(); console.log(JSON.stringify(said));"""
    )
    assert [(back["item"], back["start"][11:16], back["version"]) for back in taken_back] == [(5, "13:35", 2), (6, "14:30", 2)]


MOVED = """
const items = [item(1, "13:00", "Photos"), item(5, "13:35", "Ceremony"), item(6, "14:05", "Drinks")];
const names = ["now", "next", "clock", "alerts", "connection", "waiting"];
const fields = page({ member: "g1", role: "guest", items, names });
await load("page");
const { room } = await load("live");
let offset = 1;
const hear = (kind, data, result) => {
  const from = { member: "m1", role: "planner" };
  const pub = { kind, id: `${++offset}`, offset, from, at: "2027-06-12T13:34:00Z", data, result };
  room.state.take(pub);
  room.dispatchEvent(new CustomEvent("publication", { detail: { pub, via: "live" } }));
};
const told = () => fields.toasts.children.map((node) => node.text);
await soon();
"""


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ('hear("timeline.items", { items: [...items.slice(0, 2), { ...items[2], title: "Punch", version: 2 }] });', []),
        (
            'hear("timeline.items", { items: [items[0], item(5, "13:45", "Ceremony", { version: 2 }), items[2]] });',
            ["Ceremony: now 13:45"],
        ),
        ('hear("timeline.event", { item: 6 }, { items: [{ ...items[2], status: "in_progress", version: 2 }] });', []),
        (
            'const moved = [item(1, "13:10", "Photos", { version: 2 }), item(6, "14:15", "Drinks", { version: 2 })];'
            'hear("timeline.shift", { item: 6, minutes: 10 }, { items: moved }); hear("timeline.items", { items: moved });',
            ["Drinks: now 14:15"],
        ),
        ('hear("timeline.items", { items: [item(9, "15:00", "Cake")] });', []),
        (
            'const over = item(1, "13:10", "Photos", { status: "cancelled", version: 2 });'
            'hear("timeline.items", { items: [over, item(5, "13:45", "Ceremony", { version: 2 })] });',
            ["Ceremony: now 13:45"],
        ),
    ],
    ids=["another title", "moved by hand", "only begun", "the one that was shifted, once", "new", "over"],
)
def test_guests_are_told_what_has_moved_and_nothing_else(run: Any, heard: str, told: list[str]) -> None:
    assert run(MOVED + heard + "console.log(JSON.stringify(told()));") == told


ALERT = """
const fields = page({ member: "g1", role: "guest", names: ["alerts", "connection", "waiting"] });
const { showAlerts } = await load("trust");
const { room } = await load("live");
const alert = {
  t: "pub", kind: "emergency.alert", id: "1", from: { member: "m9", role: "vendor", name: "DJ" }, at: "2027-06-12T13:00:00Z",
  data: { alert: "x", category: "fire", text: "Leave the tent" }, provisional: true,
};
const data = { ...alert.data, text: "All clear", state: "all_clear" };
const clear = { ...alert, id: "2", from: { member: "m1", role: "planner" }, data, provisional: false, offset: 2, prev: 1 };
const shown = () => (showAlerts(), fields.alerts.text.includes("Leave the tent"));
room.state.take(alert);
const before = shown();
fields.alerts.children = [];
"""


@pytest.mark.parametrize(
    "how", ["room.state.take(clear);", "room.state.restore({ offset: 9, items: [], latest: [clear], recent: [] });"]
)
def test_all_clear_ends_an_emergency_that_was_never_stored(run: Any, how: str) -> None:
    assert run(ALERT + how + "console.log(JSON.stringify([before, shown()]));") == [True, False]


CLEARING = """
const fields = page({ names: ["alerts", "connection", "waiting"], parts: { "[data-emergency]": form({}) } });
const { showAlerts } = await load("trust");
const { room, setPending } = await load("live");
const about = { t: "pub", kind: "emergency.alert", from: { member: "m1", role: "planner" }, at: "2027-06-12T13:00:00Z" };
const fire = { alert: "x", category: "fire", text: "Leave the tent" };
const over = { alert: "x", category: "fire", text: "All clear", state: "all_clear" };
const wait = (id, data) => ({ id, kind: "emergency.alert", data, at: Date.now() });
const shown = () => ((fields.alerts.children = []), showAlerts(), fields.alerts.text);
"""


def test_an_all_clear_that_waits_is_no_emergency_of_its_own(run: Any) -> None:
    waits, left, stays, told = run(
        CLEARING
        + """
room.state.take({ ...about, id: "1", data: fire, offset: 2, prev: 1 });
setPending([wait("2", over)], true);
const waits = shown();
room.state.take({ ...about, id: "2", data: over, provisional: true });
const left = shown();
setPending([wait("1", fire), wait("2", over)], true);
const stays = shown();
setPending([wait("3", { ...fire, alert: "y", text: "Come in" })], true);
console.log(JSON.stringify([waits, left, stays, shown()]));"""
    )
    assert "Leave the tent" in waits and "All clear: waiting to be sent" in waits, "it is not over for the others"
    assert (left, stays) == ("", "")
    assert "Come in" in told, "an emergency that waits is one"


def test_an_emergency_that_may_not_go_out_yet_is_not_said_to_be_on_its_way(run: Any) -> None:
    held, left, over = run(
        CLEARING
        + """
room.phase = "live";
const refused = { code: "rate_limited", until: Date.parse("2027-06-12T13:36:03Z") };
const second = { ...fire, alert: "y", text: "Storm" };
setPending([{ ...wait("2", second), refused, inFlight: false }], true);
const held = shown();
setPending([{ ...wait("2", second), refused, inFlight: true }], true);
const left = shown();
room.state.take({ ...about, id: "1", data: fire, offset: 2, prev: 1 });
setPending([{ ...wait("3", over), refused, inFlight: false }], true);
console.log(JSON.stringify([held, left, shown()]));"""
    )
    assert "not sent yet: too many alerts, goes out at 13:36:03" in held and "sending" not in held
    assert "sending…" in left and "not sent" not in left
    assert "All clear: not sent yet: too many alerts, goes out at 13:36:03" in over


ACCOUNT = """
const to = (path) => Object.assign(form({}), { matches: (asked) => path.includes(asked.match(/=(.*)]/)[1]) });
const forms = { bar: to("/logout/"), join: to("/logout/"), other: to("/join/key/") };
page({});
const send = (name) => document.fire("submit", { target: forms[name] });
Object.defineProperty(globalThis, "navigator", { value: { serviceWorker: {} } });
const done = [];
globalThis.caches = { delete: async (name) => done.push(name) };
globalThis.BroadcastChannel = class { postMessage(word) { done.push(word); } };
"""


@pytest.mark.parametrize(
    ("how", "done"),
    [
        ("", []),
        ('send("bar");', ["wedsync"]),
        ('send("join");', ["wedsync"]),
        ('send("other");', []),
        ('document.body.setAttribute("data-nobody", ""); await import(again);', ["wedsync", "nobody"]),
    ],
    ids=["somebody", "who logs out", "who logs out to join", "another form", "nobody"],
)
def test_what_the_device_keeps_goes_with_who_was_logged_in_and_the_other_tabs_hear_of_it(run: Any, how: str, done: Any) -> None:
    load = 'const again = `${process.argv[2]}/account.js?again`; await load("account");'
    assert run(ACCOUNT + load + how + "await soon(); console.log(JSON.stringify(done));") == done


def test_news_of_another_journal_do_not_hide_those_of_this_one(run: Any) -> None:
    assert run(
        """
page({ names: ["feed"] });
const { changed, forgetChanges, given } = await load("talk");
const cue = (id, item) => ({ kind: "cue.go", id, offset: 9, from: { member: "m2" }, data: { item } });
changed(cue("a", 5));
forgetChanges();
changed(cue("b", 6));
console.log(JSON.stringify([given(5)?.id ?? null, given(6).id]));"""
    ) == [None, "b"]


FORM = """
const share = form({ url: "https://photos.example/album", caption: "First dance" });
page({ member: "g1", role: "guest", parts: { ".share": share } });
globalThis.indexedDB = { open() { throw new Error("no"); } };
await load("talk");
const { room } = await load("live");
let settle;
room.publish = () => new Promise((done, fail) => (settle = { done, fail }));
share.fire("submit");
const now = () => [share.elements.url.value, share.elements.caption.value];
const meanwhile = now();
"""


@pytest.mark.parametrize(
    ("then", "left"),
    [
        ("settle.done();", ["", ""]),
        ('settle.fail(new Error("no"));', ["https://photos.example/album", "First dance"]),
        ('share.elements.caption.value = "Another"; settle.fail(new Error("no"));', ["", "Another"]),
    ],
    ids=["taken", "not taken", "not taken, and something else was begun"],
)
def test_a_form_is_emptied_when_it_was_taken(run: Any, then: str, left: list[str]) -> None:
    assert run(FORM + then + "await soon(); console.log(JSON.stringify([meanwhile, now()]));") == [["", ""], left]


CLOCK = """
page({});
const right = clock.now;
clock.now = right + WRONG;
const { checkClock, now, room } = await load("live");
let asked = 0;
room.ask = () => (asked += 1);
const error = () => Math.round((now() - right) / 100) * 100;
const answer = (ms) => room.dispatchEvent(new CustomEvent("time", { detail: { at: right + ms, asked: clock.now } }));
checkClock();
const before = [error(), asked];
"""


@pytest.mark.parametrize("wrong_ms", [-600_000, 0, 600_000])
def test_a_clock_that_is_set_while_the_page_is_open_is_noticed(run: Any, wrong_ms: int) -> None:
    before, after = run(
        CLOCK.replace("WRONG", str(wrong_ms))
        + """
clock.now = right + 60_000; // set right, or only slept
checkClock(); checkClock();
answer(60_000);
console.log(JSON.stringify([before, [error() - 60_000, asked]]));"""
    )
    assert before == [0, 0]
    assert after == [0, 1], "asked once; a device that has slept gets the answer that its clock is right"


COPY = """
const files = new Map();
const cache = {
  match: async (name) => files.get(name) && new Response(files.get(name)),
  put: async (name, answer) => void files.set(name, await answer.text()),
  keys: async () => [],
  addAll: async () => {},
};
globalThis.caches = { open: async () => cache };
navigator.serviceWorker = { register: async () => {}, ready: Promise.resolve() };
page({ member: "m1" });
document.documentElement.attributes["data-copy"] = COPY;
if (!COPY) delete document.documentElement.attributes["data-copy"];
"""


@pytest.mark.parametrize("wrong_ms", [-10_800_000, 0, 10_800_000])
def test_a_copy_knows_how_wrong_the_clock_of_its_device_is(run: Any, wrong_ms: int) -> None:
    kept = run(
        COPY.replace("COPY", "false")
        + f"""
clock.now += {wrong_ms};
const {{ keep }} = await load("keep");
const {{ remembered }} = await load("live");
await keep("m1", remembered);
for (const hear of document.heard.visibilitychange) hear();
await soon();
console.log(JSON.stringify(files.get("/weddings/r/state")));"""
    )
    error = run(
        COPY.replace("COPY", "true")
        + f"""
files.set("/weddings/r/state", {json.dumps(kept)});
const right = clock.now + 60_000;
clock.now = right + {wrong_ms};
const {{ now }} = await load("live");
console.log(JSON.stringify(now() - right));"""
    )
    assert abs(error) < 1_000


def test_what_is_kept_follows_a_clock_that_was_set(run: Any) -> None:
    first, then = run(
        COPY.replace("COPY", "false")
        + """
const { keep } = await load("keep");
const { remembered, room } = await load("live");
await keep("m1", remembered);
const saved = async () => {
  for (const hear of document.heard.visibilitychange) hear();
  await soon();
  return JSON.parse(files.get("/weddings/r/state")).skew;
};
const first = await saved();
room.dispatchEvent(new CustomEvent("time", { detail: { at: clock.now + 600_000, asked: clock.now } }));
console.log(JSON.stringify([first, await saved()]));"""
    )
    assert (first, then) == (0, 600_000)


DOOR = """
const names = ["inside", "doorwaiting", "vendors", "arrived", "mystate"];
const fields = page({ names, people: PEOPLE, trade: "Photographer" });
const { room, setPending } = await load("live");
const { showDoor, showVendors } = await load("people");
let offset = 1;
const at = "2027-06-12T13:34:00Z";
const store = (kind, data, from) => room.state.take({ kind, id: `${++offset}`, offset, from, at, data });
const wait = (kind, data) => ({ id: `${data.guest}`, kind, data, at: clock.now });
"""
ANN = {"member": "m7", "role": "vendor", "name": "Ann", "trade": "Photographer"}
BOB = {"member": "m1", "role": "vendor", "name": "Bob", "trade": "Photographer"}


def at_the_door(*people: dict[str, str]) -> str:
    return DOOR.replace("PEOPLE", json.dumps(people))


@pytest.mark.parametrize(
    ("stored", "waiting", "said"),
    [
        ([], [("a", 1)], "1 more: waiting to be sent"),
        ([], [("a", 1), ("b", 5), ("b", 0)], "1 more: waiting to be sent"),
        ([], [("a", 1), ("a", 0)], ""),
        ([("a", 2)], [("a", 0)], "2 fewer: waiting to be sent"),
        ([("a", 2)], [("a", 2)], ""),
    ],
    ids=["counted", "another one taken back", "taken back", "taken back what is stored", "stored already"],
)
def test_what_waits_at_the_door_is_what_will_change(
    run: Any, stored: list[tuple[str, int]], waiting: list[tuple[str, int]], said: str
) -> None:
    data = [[{"guest": guest, "party": n, "arrived": n > 0} for guest, n in rows] for rows in (stored, waiting)]
    assert (
        run(
            at_the_door()
            + f"""
const [stored, waiting] = {json.dumps(data)};
for (const data of stored) store("guest.checkin", data, {{ member: "m1" }});
setPending(waiting.map((data) => wait("guest.checkin", data)), true);
showDoor();
console.log(JSON.stringify(fields.doorwaiting.textContent));"""
        )
        == said
    )


@pytest.mark.parametrize(
    ("by", "mine", "board"),
    [(ANN, "Photographer is here, said by Ann.", "said by Ann"), (BOB, "You are here.", "said by you")],
    ids=["another of the trade", "me"],
)
def test_two_vendors_of_one_trade_have_its_state_and_are_told_who_said_it(
    run: Any, by: dict[str, str], mine: str, board: str
) -> None:
    mystate, vendors = run(
        at_the_door(ANN, BOB)
        + f"""
store("vendor.status", {{ vendor: "Photographer", status: "on_site" }}, {json.dumps(by)});
showVendors();
console.log(JSON.stringify([fields.mystate.textContent, fields.vendors.text]));"""
    )
    assert mystate == f"{mine} Everybody knows since 13:34."
    assert board in vendors


def test_what_a_planner_says_of_a_vendor_is_told_as_said_by_the_planner(run: Any) -> None:
    late = '{ vendor: "Photographer", status: "delayed", delay_minutes: 20, reason: "a flat tyre" }'
    mystate, vendors = run(
        at_the_door(BOB)
        + f"""
store("vendor.status", {late}, {{ member: "m2", role: "planner", name: "Sam" }});
showVendors();
console.log(JSON.stringify([fields.mystate.textContent, fields.vendors.text]));"""
    )
    assert mystate == "Photographer is 20 min late: a flat tyre, said by Sam. Everybody knows since 13:34."
    assert "said by" not in vendors, "there is one of them"


WORKER = """
const kept = new Map();
const cache = {
  match: async (url) => kept.get(url)?.clone(),
  put: async (url, answer) => void kept.set(url, answer),
  delete: async (url) => kept.delete(url),
};
const heard = {};
globalThis.self = { addEventListener: (type, hear) => (heard[type] = hear) };
globalThis.caches = { open: async () => cache };
globalThis.location = { origin: "https://h" };
await import(`${process.argv[2]}/worker.js`);
const url = "https://h/weddings/r/";
const opened = async (answer) => {
  globalThis.fetch = async () => answer;
  let shown;
  heard.fetch({ request: { url, method: "GET", mode: "navigate" }, respondWith: (given) => (shown = given) });
  return (await (await shown).text()).includes("The plan");
};
const plan = () => new Response("<html lang=en>The plan</html>");
const say = (status) => new Response("Something else", { status });
"""


@pytest.mark.parametrize(
    ("status", "plan", "kept"),
    [(500, True, True), (503, True, True), (408, True, True), (429, True, True), (400, False, True)]
    + [(status, False, False) for status in (401, 403, 404, 410)],
)
def test_an_error_of_whoever_is_in_front_neither_hides_the_plan_nor_loses_it(
    run: Any, status: int, plan: bool, kept: bool
) -> None:
    first, then, is_kept, alone = run(
        WORKER
        + f"""
const first = await opened(plan());
const then = await opened(say({status}));
const isKept = kept.has(url);
kept.clear();
console.log(JSON.stringify([first, then, isKept, await opened(say({status}))]));"""
    )
    assert (first, then, is_kept, alone) == (True, plan, kept, False)


def test_who_is_sent_to_log_in_leaves_no_copy(run: Any) -> None:
    assert (
        run(
            WORKER
            + """
await opened(plan());
await opened({ type: "opaqueredirect", status: 0, ok: false, clone() {}, text: async () => "" });
console.log(JSON.stringify(kept.has(url)));"""
        )
        is False
    )


def test_all_modules_of_the_page_are_loaded_at_once() -> None:
    folders = {"weddings": STATIC / "weddings", "realtime": REALTIME}
    wanted, found = ["weddings/page.js"], set()
    while wanted:
        name = wanted.pop()
        folder, file = name.split("/")
        found.add(name)
        imported = re.findall(r'^import .*"(\.\.?)/(.+)";', (folders[folder] / file).read_text(), re.MULTILINE)
        names = {path if dots == ".." else f"{folder}/{path}" for dots, path in imported}
        wanted += names - found
    assert found - {"weddings/page.js"} == set(SCRIPTS)
