/** "Running N minutes behind": what would move, what stays, which buffer absorbs it; then apply it, and take it back. */
import { make } from "./dom.js";
import { at, emptied, fields, room, say, signed, start, title, toast } from "./live.js";
import { current, following } from "./plan.js";

const form = document.querySelector("[data-behind]");
const ASK_MS = 150; // after the last key: one question for "1", "15"
let chosen = false;
let timer = 0;
let asked = 0;

/** The items it can begin with; the next one, unless somebody has chosen. */
export function showBehind() {
  if (!form) return;
  const items = room.state.sheet().filter((item) => !["completed", "cancelled"].includes(item.status) && item.kind !== "buffer");
  form.closest("section").hidden = items.length === 0;
  const select = form.elements.from;
  const options = items.map((item) => [String(item.id), `${at(item.start)} ${item.title}`]);
  const text = JSON.stringify(options);
  const next = String((following() ?? current()[0] ?? items[0])?.id ?? "");
  if (select.shown !== text) {
    select.shown = text;
    const value = select.value;
    select.replaceChildren(...options.map(([id, label]) => Object.assign(make("option", "", label), { value: id })));
    if (options.some(([id]) => id === value)) select.value = value;
    else select.value = next;
    if (Number(form.elements.minutes.value)) ask();
  }
  if (!chosen && !Number(form.elements.minutes.value)) select.value = next;
}

async function ask() {
  const minutes = Number(form.elements.minutes.value);
  const item = form.elements.from.value;
  const mine = ++asked;
  fields.preview.replaceChildren();
  form.elements.apply.disabled = !minutes || !item;
  if (!minutes || !item) return;
  try {
    const answer = await fetch(`preview/?${new URLSearchParams({ item, minutes })}`, { cache: "no-store" });
    const plan = await answer.json();
    if (mine !== asked) return;
    if (!answer.ok) return note(plan.error, "problem");
    show(plan);
  } catch {
    if (mine === asked) note("There is no connection, so what moves cannot be shown now. You can apply it all the same: it is sent as soon as there is one.");
  }
}

function note(text, className = "soft") {
  fields.preview.replaceChildren(make("p", className, text));
}

function show({ moves, stays, absorbed, conflicts }) {
  const row = (text, className, items) => {
    const part = make("div", className);
    part.append(make("h3", "", text), ...items.map((line) => make("p", "", line)));
    return part;
  };
  const known = moves.filter(({ item }) => room.state.items.has(item) && room.state.items.get(item).kind !== "buffer");
  known.sort((a, b) => Date.parse(a.start) - Date.parse(b.start));
  const parts = [];
  parts.push(row(known.length === 1 ? "1 item moves" : `${known.length} items move`, "moves", known.map(({ item, start: to }) => `${title(item)}: ${at(room.state.items.get(item).start)} → ${at(to)}`)));
  const taken = Object.entries(absorbed).map(([id, n]) => `${title(Number(id))} at ${at(room.state.items.get(Number(id)).start)} absorbs ${n} min`);
  if (taken.length) parts.push(row("Absorbed", "absorbed", taken));
  if (stays.length) parts.push(row("Stays: fixed time", "stays", stays.map((id) => `${title(id)} at ${at(room.state.items.get(id).start)}`)));
  if (conflicts.length) parts.push(row("No longer fits", "conflicts", conflicts.map(({ item, waits_for: after, minutes }) => `${title(item)} begins ${minutes} min before ${title(after)} ends`)));
  fields.preview.replaceChildren(...parts);
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(ask, ASK_MS);
}

form?.addEventListener("input", ({ target }) => {
  if (target.name === "from") chosen = true;
  later();
});
form?.addEventListener("click", ({ target }) => {
  if (!target.dataset.minutes) return;
  form.elements.minutes.value = target.dataset.minutes;
  ask();
});
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const minutes = Number(form.elements.minutes.value);
  const reason = form.elements.reason.value.trim();
  if (!minutes) return;
  emptied(form, say("timeline.shift", { item: Number(form.elements.from.value), minutes, ...(reason ? { reason } : {}) }));
  chosen = false;
  asked += 1;
  fields.preview.replaceChildren();
  form.elements.apply.disabled = true;
  showBehind();
});

// -- undo -------------------------------------------------------------------------------------------------------------

let before = new Map();
/** What the plan is now: what a change of mine is taken back to. */
export const remember = () => (before = new Map([...room.state.items.values()].map((item) => [item.id, { start: item.start, minutes: item.minutes, version: item.version }])));

/** When it began until the news that are being told. */
export const startBefore = (id) => before.get(id)?.start;

/** What my changes have moved, and the buttons that take it back: the last ones, by id. */
const offers = new Map();
const OFFERS_MAX = 20;
/** {id of my restoring: the items that it named}. */
const undone = new Map();

function kept(among, id, items) {
  among.set(id, items);
  if (among.size > OFFERS_MAX) among.delete(among.keys().next().value);
}

/** Offer to take back what I have just changed. Several changes may come before the next drawing: each is taken back alone. */
export function offerUndo(pub, live) {
  const items = pub.result?.items ?? (pub.kind === "timeline.restore" ? [] : (pub.data.items ?? []));
  if (live && pub.from.member === start.member) {
    const [id] = pub.id.split("~");
    if (pub.kind === "timeline.restore") kept(undone, id, pub.data.items);
    if (undone.has(id)) asBefore(undone.get(id), items);
    else if (pub.kind === "timeline.items") offers.get(id)?.push(...taken(items)); // what not all the crew may see
    else offer(pub, taken(items));
  }
  for (const { id, start: from, minutes, version } of items) before.set(id, { start: from, minutes, version });
}

/** Each as it has to be now to be taken back, and to where; `was` is the version that it had before. */
const taken = (items) =>
  items.filter((item) => changes(item)).map(({ id, version }) => {
    const { version: was, ...to } = before.get(id);
    return { item: id, version, ...to, was };
  });

/** What I have taken back is as it was, under a new version: what I changed before that can be taken back, too. */
function asBefore(restored, items) {
  for (const { id, version } of items) {
    const last = restored.find((back) => back.item === id)?.version;
    const all = [...offers.values()].flat().filter((back) => back.item === id);
    const was = all.find((back) => back.version === last)?.was;
    for (const back of all) if (back.version === was) back.version = version;
  }
}

/** An entry for others repeats what I was told already. */
function changes({ id, start: from, minutes }) {
  const was = before.get(id);
  return was !== undefined && (was.start !== from || was.minutes !== minutes);
}

function offer(pub, items) {
  if (!form || !/^timeline\.(shift|reorder)$/.test(pub.kind) || !items.length) return;
  const button = Object.assign(make("button", "", "Undo"), { type: "button" });
  button.dataset.testid = "undo";
  const what = pub.kind === "timeline.shift" ? `${title(pub.data.item)} ${signed(pub.data.minutes)}` : `${title(pub.data.item)} moved`;
  const node = toast(items.length > 1 ? `${what}, ${items.length - 1} more moved.` : `${what}.`, "", button);
  kept(offers, pub.id, items);
  button.addEventListener("click", () => {
    say("timeline.restore", { items: items.map(({ was, ...back }) => back) });
    node.remove();
  });
}
