/** Whether everybody is reached: the connection, the crew's devices, emergencies and who has confirmed them. Measured, or missing. */
import { newId } from "../realtime/room.js";
import { fresh } from "../realtime/state.js";
import { list } from "./dom.js";
import { alerting, at, capital, exactly, fields, now, onPress, onSubmit, pending, pendingIsKept, room, say, start, word } from "./live.js";
import { isCopy } from "./keep.js";
import { iSaw, seenBy, seenButton } from "./people.js";

const CREW = ["planner", "couple", "vendor"];
const crew = start.people.filter((person) => CREW.includes(person.role));
/** Kinds that the whole crew gets and acknowledges at once: what the last of them took is the figure of the trust row. */
const MEASURED = /^(timeline\.(shift|reorder|restore|event|items|sheet)|cue\.go|vendor\.status|issue\.report|announcement|weather\.alert|emergency\.alert)$/;
let last = null;

export function measure(pub) {
  if (pub.offset && MEASURED.test(pub.kind)) last = { offset: pub.offset, times: new Map() };
}

export const forgetMeasured = () => (last = null);

export function showTrust() {
  if (!fields.crewlive) return;
  const there = crew.filter((person) => room.present.has(person.member));
  const live = room.phase === "live";
  fields.crewlive.textContent = live ? `${there.length} of ${crew.length}` : "not known";
  const away = crew.filter((person) => !room.present.has(person.member)).map((person) => person.name);
  fields.crewaway.textContent = !live ? "" : away.length ? `Missing: ${away.slice(0, 4).join(", ")}${away.length > 4 ? ` and ${away.length - 4} more` : ""}` : "Everybody is here";
  showLast(there, live);
  fields.youare.textContent = `${live ? "Online" : "Offline"} since ${exactly(room.since.getTime())}`;
  fields.youare.closest("div").dataset.good = String(live);
}

/** How long the last change took to the last of those who are here; names instead of a number while somebody is missing. */
function showLast(there, live) {
  const open = last ? there.filter((person) => (room.receipts.get(person.member)?.[0] ?? 0) < last.offset) : [];
  for (const { member } of last ? there : []) {
    const [offset, ms] = room.receipts.get(member) ?? [0, null];
    if (offset >= last.offset && !last.times.has(member)) last.times.set(member, ms); // the first receipt that covers it
  }
  const times = last ? there.map(({ member }) => last.times.get(member)) : [];
  let text = "no change yet";
  let note = last ? "until the last device had confirmed it" : "since you opened this page";
  if (!live) [text, note] = ["not known", "there is no connection"];
  else if (open.length) [text, note] = ["on its way", `not confirmed: ${open.map((person) => person.name).join(", ")}`];
  else if (times.length && times.every((ms) => typeof ms === "number")) text = `${Math.max(1, Math.round(Math.max(...times)))} ms`;
  else if (last) [text, note] = ["confirmed", "by everybody here; not timed"];
  fields.lastms.textContent = text;
  fields.lastnote.textContent = note;
}

const alarms = document.querySelector("[data-emergency]");

// -- emergencies ------------------------------------------------------------------------------------------------------

const isActive = ({ data }) => (data.state ?? "active") === "active";
const told = () => [...room.state.provisional.values(), ...room.state.latest("emergency.alert")];

function active() {
  const alerts = told();
  const cleared = new Set(alerts.filter((pub) => pub.data.state === "all_clear").map((pub) => pub.data.alert));
  const open = alerts.filter((pub) => isActive(pub) && fresh(pub, now()) && !cleared.has(pub.data.alert));
  return [...new Map(open.map((pub) => [pub.data.alert, pub])).values()];
}

export function showAlerts() {
  const shown = active();
  const known = new Set(told().map((pub) => pub.data.alert)); // also those that are over
  const waiting = pending().filter((entry) => entry.kind === "emergency.alert");
  const queued = waiting.filter((entry) => isActive(entry) && !known.has(entry.data.alert));
  const clearing = new Map(waiting.filter((entry) => !isActive(entry)).map((entry) => [entry.data.alert, entry]));
  const lines = [...shown.map((pub) => ({ pub, data: pub.data })), ...queued.map((entry) => ({ data: entry.data, entry }))];
  const nodes = list(fields.alerts, lines, ({ pub, data, entry }) => {
    const about = `emergency ${data.alert}`;
    const mine = pub?.from.member === start.member;
    return [
      data.alert,
      ["strong", "", capital(word(data.category))],
      ["span", "what", data.text],
      ["span", "", [data.where, pub ? `${mine ? "you" : pub.from.name || word(pub.from.role)}, ${at(pub.at)}` : alerting(entry)].filter(Boolean).join(" · ")],
      pub && !mine && start.role !== "display" ? seenButton(about, "I have seen this") : [],
      clearing.has(data.alert) ? ["span", "", `All clear: ${alerting(clearing.get(data.alert))}`] : pub && alarms ? ["button", "", "All clear", { type: "button", "data-clear": data.alert, "data-testid": "all-clear" }] : [],
    ];
  });
  nodes.forEach((node) => (node.className = "alert"));
  showReach(shown);
}

/** Each person: confirmed by a tap, reached (their device has it), or not reached. */
function statusOf(person, pub, seen) {
  if (person.member === pub.from.member) return "sent it";
  if (seen.has(person.member) || (person.member === start.member && iSaw(`emergency ${pub.data.alert}`))) return "seen";
  const offset = room.receipts.get(person.member)?.[0] ?? 0;
  return pub.offset && offset >= pub.offset ? "reached" : "not reached";
}

const ORDER = ["not reached", "reached", "seen", "sent it"];
const CLASSES = { "not reached": "bad", reached: "warn", seen: "good", "sent it": "" };

function showReach(shown) {
  if (!fields.reach) return;
  const pub = shown.at(-1);
  fields.reach.closest("section").hidden = !pub;
  if (!pub) return;
  const seen = seenBy(`emergency ${pub.data.alert}`);
  const lines = start.people.map((person) => ({ person, status: statusOf(person, pub, seen), when: seen.get(person.member)?.at }));
  const n = (status) => lines.filter((line) => line.status === status).length;
  const others = shown.slice(0, -1).map((other) => `${other.data.text}: seen by ${seenBy(`emergency ${other.data.alert}`).size}`);
  const sum = `seen by ${n("seen")}, reached ${n("reached")}, not reached ${n("not reached")}`;
  fields.reachsum.textContent = others.length ? [`${pub.data.text}: ${sum}`, ...others].join(". ") : sum;
  lines.sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
  list(fields.reach, lines, ({ person, status, when }) => [
    person.member,
    ["strong", "", person.name],
    ["span", `pill ${CLASSES[status]}`, capital(status) + (when ? ` ${at(when)}` : "")],
  ]);
}

onPress(fields.alerts, "clear", (button, { clear }) => {
  const pub = active().find((known) => known.data.alert === clear);
  if (pub) say("emergency.alert", { alert: clear, category: pub.data.category, text: "All clear", state: "all_clear" });
});

const dialog = document.getElementById("emergency");
alarms?.addEventListener("click", () => dialog.showModal());
onPress(dialog, "cancel", () => dialog.close());
onSubmit(dialog?.querySelector("form"), ({ category, text, where }) => {
  dialog.close();
  return say("emergency.alert", { alert: newId().replaceAll("-", "").slice(0, 12), category, text, ...(where ? { where } : {}) });
});

// -- the connection ---------------------------------------------------------------------------------------------------

let wasLive = false;

export function showConnection() {
  const box = fields.connection.parentElement;
  const live = room.phase === "live";
  wasLive ||= live;
  box.dataset.state = room.phase === "over" ? "over" : live ? "live" : navigator.onLine ? "connecting" : "offline";
  const since = `since ${exactly(room.since.getTime())}`;
  const words = { live: "Live", connecting: wasLive ? `Reconnecting ${since}` : isCopy ? "No connection: as last seen here" : "Connecting…", offline: `Offline ${since}` };
  const text = words[box.dataset.state];
  if (text && fields.connection.textContent !== text) fields.connection.textContent = text;
  const entries = pending();
  fields.waiting.hidden = entries.length === 0 || (live && entries.every((entry) => Date.now() - entry.at < 1_000));
  fields.waiting.textContent = entries.length ? `${entries.length} waiting to be sent${pendingIsKept() ? "" : ": keep this page open"}` : "";
}

export function refused({ reason }) {
  fields.connection.textContent = `You are no longer connected. ${reason || "Open your join link again, or log in."}`;
  document.documentElement.removeAttribute("data-live");
  showConnection();
}

export function showPeople() {
  if (!fields.people) return;
  const members = [...room.present.values()];
  const here = members.filter((m) => m.role !== "guest").sort((a, b) => a.role.localeCompare(b.role) || (a.name ?? "").localeCompare(b.name ?? ""));
  const guests = members.length - here.length;
  const lines = here.map((m) => [m.member, m.name || m.role, m.role]);
  if (guests) lines.push(["guests", guests === 1 ? "1 guest" : `${guests} guests`, ""]);
  list(fields.people, lines, ([key, name, role]) => [key, ["span", "", name], ["span", "soft", role]]);
  fields.count.textContent = members.length ? String(members.length) : "";
}
