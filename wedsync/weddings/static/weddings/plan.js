/** The run sheet, what is on now and what is next, my own items. */
import { arrange, list, make, shorten } from "./dom.js";
import { OVER, at, capital, concerns, counts, day, ends, fields, isNow, late, now, onPress, pending, room, say, sending, signed, start, starts, toast, until, word } from "./live.js";

const rows = new Map([...document.querySelectorAll("[data-item]")].map((row) => [Number(row.dataset.item), row]));

const template = document.getElementById("item").content;

export function showSheet() {
  if (!fields.sheet) return;
  const days = new Set(room.state.sheet().map((item) => day(item.start)));
  const nodes = [];
  let before = "";
  for (const item of room.state.sheet()) {
    const its = day(item.start);
    if (days.size > 1 && its !== before) {
      const heading = [...fields.sheet.querySelectorAll(".day")].find((node) => node.textContent === its);
      nodes.push(heading ?? make("li", "day", its));
    }
    before = its;
    nodes.push(showItem(item));
  }
  showPast(nodes);
  const ids = new Set(room.state.items.keys());
  for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
  if (!nodes.length) nodes.push(nothing);
  arrange(fields.sheet, nodes);
}
const nothing = make("li", "empty soft", "Nothing is planned yet. The run sheet shows up here as soon as it is there.");

const PAST_MS = 30 * 60_000; // what was done a moment ago stays in sight: a slip is taken back there

const settled = new Map(); // when this page saw an item become over: on a day that runs late that is long after its planned end

/** Long over: out of sight until somebody asks for it. */
function showPast(nodes) {
  const last = (item) => Math.max(ends(item), settled.get(item.id) ?? 0);
  const past = (item) => (item.kind === "buffer" || OVER.includes(item.status)) && last(item) < now() - PAST_MS;
  let n = 0;
  for (const node of nodes) {
    const item = room.state.items.get(Number(node.dataset.item));
    const over = Boolean(item && past(item));
    node.toggleAttribute("data-past", over);
    n += over;
  }
  fields.past.hidden = n === 0;
  fields.past.textContent = fields.sheet.hasAttribute("data-all") ? "Hide what is over" : `Show ${n} that ${n === 1 ? "is" : "are"} over`;
}
fields.past?.addEventListener("click", () => {
  fields.past.setAttribute("aria-pressed", String(fields.sheet.toggleAttribute("data-all")));
  showSheet();
});

function showItem(item) {
  if (!rows.has(item.id)) rows.set(item.id, template.firstElementChild.cloneNode(true));
  const row = rows.get(item.id);
  if (!row.querySelector(".acts")) row.append(...[...template.querySelectorAll(".acts")].map((acts) => acts.cloneNode(true)));
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  const time = field("at");
  const moved = time.dateTime !== "" && Date.parse(time.dateTime) !== starts(item);
  const pressed = row.contains(document.activeElement) ? document.activeElement : null;
  if (OVER.includes(item.status) && row.dataset.status && !OVER.includes(row.dataset.status)) settled.set(item.id, now());
  Object.assign(row.dataset, { item: item.id, kind: item.kind, status: item.status, visibility: item.visibility ?? "" });
  row.toggleAttribute("data-now", isNow(item));
  row.toggleAttribute("data-mine", concerns(item, start.trade));
  time.dateTime = item.start;
  const texts = { at: at(item.start), title: item.title, where: item.where, minutes: `${item.minutes} min` };
  const more = { who: (item.who ?? []).join(", "), notes: item.notes ?? "" };
  for (const [name, text] of Object.entries({ ...texts, ...more })) {
    const node = field(name);
    if (node && node.textContent !== text) node.textContent = text;
  }
  const minutes = late(item);
  field("shifted").hidden = minutes === 0;
  field("shifted").textContent = minutes === 0 ? "" : signed(minutes);
  row.toggleAttribute("data-earlier", minutes < 0);
  if (moved) {
    row.removeAttribute("data-moved");
    void row.offsetWidth; // starts the highlight anew when it moves twice
    row.setAttribute("data-moved", "");
  }
  showSending(row, item.id);
  // Whoever goes by the keyboard stays in this line when the button that was pressed gives its place to another one.
  if (pressed && !pressed.getClientRects().length) [...row.querySelectorAll("button")].find((button) => button.getClientRects().length)?.focus();
  return row;
}

/** What waits to be sent for this item, also from before a reload. */
function showSending(row, id) {
  const mine = pending().filter((entry) => entry.data.item === id);
  const node = row.querySelector('[data-field="sending"]');
  const words = mine.map(({ kind, data }) => (kind === "timeline.shift" ? signed(data.minutes) : kind === "cue.go" ? "go" : word(data.status)));
  node.hidden = mine.length === 0;
  node.textContent = mine.length ? `${words.join(", ")}: ${sending()}` : "";
  for (const button of row.querySelectorAll("[data-act]")) {
    const busy = mine.some(({ kind, data }) => kind === button.dataset.act && same(button, data));
    button.toggleAttribute("data-busy", busy);
    button.setAttribute("aria-disabled", String(busy));
  }
}

const same = (button, data) => (button.dataset.to ? data.status === button.dataset.to : data.minutes === Number(button.dataset.minutes));

onPress(fields.sheet, "act", async (button, { act, to, minutes }) => {
  const row = button.closest("[data-item]");
  const item = Number(row.dataset.item);
  button.toggleAttribute("data-busy", true); // at once: the second tap of an impatient thumb comes before the next drawing
  if (!(await say(act, to ? { item, status: to } : { item, minutes: Number(minutes) }))) showSending(row, item);
});

// -- now and next -----------------------------------------------------------------------------------------------------

export const current = () => room.state.sheet().filter(isNow);
export const following = () => room.state.sheet().find((item) => counts(item) && !isNow(item) && starts(item) > now());
const where = (item, text) => [item.where, text].filter(Boolean).join(" · ");
const drift = (item) => (late(item) ? ["span", late(item) > 0 ? "pill warn" : "pill good", `${Math.abs(late(item))} min ${late(item) > 0 ? "behind" : "early"}`] : []);

export function showNow() {
  const next = following();
  const ending = (item) => (ends(item) < now() ? `should have ended ${at(ends(item))}` : `until ${at(ends(item))}`);
  const left = (item) => (ends(item) < now() ? ["span", "pill warn", `${Math.floor((now() - ends(item)) / 60_000)} min over`] : ["span", "pill", `${Math.ceil((ends(item) - now()) / 60_000)} min left`]);
  list(fields.now, current(), (item) => [item.id, ["strong", "", item.title], ["span", "soft", where(item, ending(item))], left(item), drift(item)]);
  if (!current().length) list(fields.now, [0], () => [0, ["span", "soft", "Nothing at the moment"]]);
  list(fields.next, [next], () =>
    next
      ? [next.id, ["strong", "", next.title], ["span", "soft", where(next, `at ${at(next.start)}`)], ["span", "pill", until(starts(next))], drift(next)]
      : [0, ["span", "soft", "Nothing more is planned"]],
  );
  fields.clock.textContent = at(now());
  for (const [id, row] of rows) if (room.state.items.has(id)) row.toggleAttribute("data-now", isNow(room.state.items.get(id)));
}

// -- my own items -----------------------------------------------------------------------------------------------------

const MINE = 8;

export function showMine() {
  if (!fields.mine) return;
  const mine = room.state.sheet().filter((item) => concerns(item, start.trade));
  mine.sort((a, b) => OVER.includes(a.status) - OVER.includes(b.status)); // what is to come first
  const nodes = list(fields.mine, mine, (item) => [
    item.id,
    ["time", "", at(item.start)],
    ["strong", "", item.title],
    ["span", "soft", item.where],
    late(item) && !OVER.includes(item.status) ? ["span", late(item) > 0 ? "pill warn" : "pill good", signed(late(item))] : [],
    OVER.includes(item.status) ? ["span", "pill good", capital(word(item.status))] : isNow(item) ? ["span", "pill strong", "Now"] : [],
  ]);
  nodes.forEach((node, n) => node.classList.toggle("over", OVER.includes(mine[n].status)));
  shorten(fields.mine, nodes, (n) => n < MINE);
  if (!mine.length) list(fields.mine, [0], () => [0, ["span", "soft", "Nothing on the run sheet names you."]]);
}

/** Tell those who do not plan what has moved; the planner sees it anyway. `before(id)`: its start until now; of new ones none. */
export function tellMoved(pub, before) {
  const items = pub.result?.items ?? (pub.kind === "timeline.items" ? pub.data.items : []);
  const moved = items.filter(({ id, start: to, status }) => (before(id) ?? to) !== to && !OVER.includes(status));
  const first = moved.find((item) => item.id === pub.data.item) ?? moved[0];
  if (first) toast(`${first.title}: now ${at(first.start)}`);
}
