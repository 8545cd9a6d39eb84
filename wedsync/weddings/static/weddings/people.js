/** Vendors and where they are, cues and who has seen them, issues, the door. */
import { newId } from "../realtime/room.js";
import { list, press, shorten } from "./dom.js";
import { OVER, at, capital, concerns, fields, onPress, onSubmit, pending, room, say, sending, start, toast, who, word } from "./live.js";
import { given } from "./talk.js";

const HERE = ["checked_in", "on_site", "completed"];
/** Lines of a list before the rest is one tap away. */
const VENDORS = 12;
const CUES = 8;
const CUES_OVER = 3;
const ISSUES = 8;
const plans = document.querySelector("[data-behind]") !== null;
const waits = (kind, field, value) => pending().findLast((entry) => entry.kind === kind && String(entry.data[field]) === String(value));

// -- vendors ----------------------------------------------------------------------------------------------------------

/** The state is that of the trade, whoever of it has said so. */
const vendorState = (name) => room.state.latest("vendor.status").find((pub) => pub.data.vendor === name);

const saidBy = (pub) => `said by ${pub.from.member === start.member ? "you" : who(pub.from)}`;

export function showVendors() {
  showMyState();
  if (!fields.vendors) return;
  const said = new Set(room.state.latest("vendor.status").map((pub) => pub.data.vendor));
  const trades = start.people.filter((p) => p.role === "vendor").map((p) => p.trade);
  const names = [...new Set([...trades, ...said])];
  const sheet = room.state.sheet();
  const lines = names.map((name) => {
    const pub = vendorState(name);
    const queued = waits("vendor.status", "vendor", name);
    const state = pub?.data.status ?? "pending";
    const by = pub && trades.indexOf(name) !== trades.lastIndexOf(name) ? saidBy(pub) : ""; // which of them
    return { name, pub, by, queued, state, first: sheet.find((item) => concerns(item, name)) };
  });
  const nodes = list(fields.vendors, lines, ({ name, pub, by, queued, state, first }) => [
    name,
    ["strong", "", name],
    ["span", `pill ${HERE.includes(state) ? "good" : state === "delayed" ? "warn" : ""}`, capital(word(state)) + (pub?.data.delay_minutes ? ` ${pub.data.delay_minutes} min` : "")],
    ["span", "soft", pub ? [pub.data.reason, `${HERE.includes(state) ? "since" : "told"} ${at(pub.at)}`, by].filter(Boolean).join(", ") : first ? `for ${at(first.start)}` : ""],
    queued ? ["span", "sending", sending()] : plans && !HERE.includes(state) ? press("Here", "here", name, { label: `${name} is here` }) : [],
  ]);
  nodes.forEach((node, n) => (node.dataset.state = lines[n].state));
  shorten(fields.vendors, nodes, (n) => lines.length <= VENDORS || !HERE.includes(lines[n].state)); // who is here needs nobody
  const here = lines.filter(({ state }) => HERE.includes(state)).length;
  fields.arrived.textContent = `${here} of ${lines.length}`;
}

onPress(fields.vendors, "here", (_, { here }) => say("vendor.status", { vendor: here, status: "on_site" }));

function showMyState() {
  if (!fields.mystate) return;
  const pub = vendorState(start.trade);
  const queued = waits("vendor.status", "vendor", start.trade);
  const { status, delay_minutes: minutes, reason } = (queued ?? pub)?.data ?? {};
  const mine = queued !== undefined || pub?.from.member === start.member;
  const state = status === "delayed" ? `${minutes ? `${minutes} min ` : ""}late${reason ? `: ${reason}` : ""}` : word(status);
  const said = !status ? "You have not checked in yet." : mine ? `You are ${state}.` : `${start.trade} is ${state}, ${saidBy(pub)}.`;
  fields.mystate.textContent = `${said} ${queued ? capital(sending()) : pub ? `Everybody knows since ${at(pub.at)}.` : ""}`;
  for (const button of document.querySelectorAll("[data-status-to]")) button.setAttribute("aria-pressed", String(mine && button.dataset.statusTo === status));
}

onPress(document.getElementById("arrival"), "status-to", (_, { statusTo }) => say("vendor.status", { vendor: start.trade, status: statusTo }));
onSubmit(document.querySelector(".delayed"), ({ minutes, reason }, form) => {
  form.closest("details").open = false;
  return say("vendor.status", { vendor: start.trade, status: "delayed", delay_minutes: Number(minutes), ...(reason ? { reason } : {}) });
});

// -- who has seen what ------------------------------------------------------------------------------------------------

const mySeen = new Set(start.seen);
let sent = new Map();
/** Remember what waits, so that an answer tells what it is about. */
export const rememberPending = () => (sent = new Map([...sent, ...pending().map((entry) => [entry.id, entry])].slice(-200)));
export function settled(ref) {
  const entry = sent.get(ref);
  if (entry?.kind === "seen") mySeen.add(entry.data.about);
}
export const iSaw = (about) => mySeen.has(about);
/** [text, className] for the button of this, or null when there is nothing to press. */
export function seenButton(about, text) {
  const queued = waits("seen", "about", about);
  if (queued) return ["span", "sending", `Seen: ${sending()}`];
  return iSaw(about) ? ["span", "pill good", "You have seen this"] : press(text, "seen", about, { className: "main" });
}
/** {member: publication} of those who said that they have seen it. */
export const seenBy = (about) => new Map(room.state.latest("seen").filter((pub) => pub.data.about === about).map((pub) => [pub.from.member, pub]));
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-seen]");
  if (button) say("seen", { about: button.dataset.seen });
});

export function showCues() {
  if (!fields.cues) return;
  const mineOnly = start.trade !== "";
  const all = room.state.sheet().filter((item) => item.kind === "cue" && (!mineOnly || concerns(item, start.trade)));
  const open = all.findIndex((item) => !OVER.includes(item.status));
  const nodes = list(fields.cues, all, (item) => {
    const go = given(item.id);
    const over = OVER.includes(item.status);
    const queued = waits("cue.go", "item", item.id);
    return [
      item.id,
      ["time", "", at(item.start)],
      ["strong", "", item.title],
      over || !plans ? ["span", over ? "pill good" : "pill", over ? (go ? `Go ${at(go.at)}` : capital(word(item.status))) : "waits for its go"] : [],
      queued ? ["span", "sending", `Go: ${sending()}`] : plans && !over ? press("Go", "go", item.id, { className: all[open] === item ? "main" : "", label: `Go: ${item.title}` }) : [],
      mineOnly && over ? seenButton(`cue ${item.id}`, "Seen") : [],
      start.people.length && over ? ["p", "soft seen", whoSaw(item)] : [],
    ];
  });
  nodes.forEach((node, n) => node.classList.toggle("over", OVER.includes(all[n].status)));
  const over = all.filter((item) => OVER.includes(item.status));
  const near = new Set([...over.slice(-CUES_OVER), ...all.filter((item) => !over.includes(item)).slice(0, CUES)]);
  shorten(fields.cues, nodes, (n) => near.has(all[n]) || (mineOnly && over.includes(all[n]) && !iSaw(`cue ${all[n].id}`)));
  if (!all.length) list(fields.cues, [0], () => [0, ["span", "soft", "No cues."]]);
}

function whoSaw(item) {
  const seen = seenBy(`cue ${item.id}`);
  const meant = start.people.filter((p) => p.role === "vendor" && concerns(item, p.trade));
  const others = [...seen.values()].filter((pub) => meant.every((p) => p.member !== pub.from.member));
  const yes = [...meant.filter((p) => seen.has(p.member)).map((p) => p.name), ...others.map((pub) => pub.from.name || who(pub.from))];
  const no = meant.filter((p) => !seen.has(p.member)).map((p) => p.name);
  return capital([yes.length ? `seen by ${yes.join(", ")}` : "", no.length ? `not yet ${no.join(", ")}` : ""].filter(Boolean).join("; ")) || "Nobody has to confirm this one";
}

onPress(fields.cues, "go", async (button, { go }) => {
  button.toggleAttribute("data-busy", true); // at once: a second tap comes before the next drawing
  if (!(await say("cue.go", { item: Number(go) }))) button.removeAttribute("data-busy");
});

// -- issues -----------------------------------------------------------------------------------------------------------

const SEVERITIES = ["critical", "high", "medium", "low"];

export function showIssues() {
  if (!fields.issues) return;
  const queued = pending().filter((entry) => entry.kind === "issue.report");
  const stored = room.state.latest("issue.report");
  const known = new Set(stored.map((pub) => pub.data.issue));
  const fresh = queued.filter((entry) => !known.has(entry.data.issue));
  const open = stored.filter((pub) => pub.data.state !== "resolved");
  open.sort((a, b) => SEVERITIES.indexOf(a.data.severity) - SEVERITIES.indexOf(b.data.severity) || a.offset - b.offset);
  const lines = [...open.map(({ data, from, at: when }) => ({ data, from, when })), ...fresh.map(({ data }) => ({ data, from: { member: start.member } }))];
  const nodes = list(fields.issues, lines, ({ data, from, when }) => {
    const waiting = queued.some((entry) => entry.data.issue === data.issue);
    return [
      data.issue,
      ["span", `pill ${data.severity === "low" ? "" : data.severity === "critical" ? "bad" : "warn"}`, capital(data.severity)],
      ["strong", "", data.title],
      ["span", "soft", [data.owner ? `${data.owner} takes care` : "nobody takes care yet", `${who(from)}${when ? `, ${at(when)}` : ""}`].join(" · ")],
      ...(waiting
        ? [["span", "sending", sending()]]
        : [data.owner === start.name ? [] : press("I take it", "take", data.issue, { label: `I take care of: ${data.title}` }), press("Solved", "solve", data.issue, { label: `Solved: ${data.title}` })]),
    ];
  });
  shorten(fields.issues, nodes, (n) => n < ISSUES);
  if (!nodes.length) list(fields.issues, [0], () => [0, ["span", "soft", "No open issues."]]);
}

const issue = (key) => room.state.latest("issue.report").find((pub) => pub.data.issue === key)?.data;
onPress(fields.issues, "take", (_, { take }) => say("issue.report", { ...issue(take), owner: start.name, state: "working" }));
onPress(fields.issues, "solve", (_, { solve }) => say("issue.report", { ...issue(solve), state: "resolved" }));
onSubmit(document.querySelector(".report"), ({ title, severity, category }, form) => {
  form.closest("details").open = false;
  return say("issue.report", { issue: newId(), title, severity, category });
});

// -- the door ---------------------------------------------------------------------------------------------------------

const counted = []; // ids of my own counts on this page, so that a slip can be taken back

export function showDoor() {
  if (!fields.inside) return;
  const parties = new Map();
  const count = ({ guest, arrived = true, party = 1 }) => parties.set(guest, arrived ? party : 0);
  const total = () => [...parties.values()].reduce((sum, party) => sum + party, 0);
  for (const pub of room.state.latest("guest.checkin")) count(pub.data);
  const inside = total();
  fields.inside.textContent = String(inside);
  if (fields.inmeter) fields.inmeter.value = inside;
  for (const entry of pending()) if (entry.kind === "guest.checkin") count(entry.data);
  const more = total() - inside;
  fields.doorwaiting.textContent = more ? `${Math.abs(more)} ${more > 0 ? "more" : "fewer"}: ${sending()}` : "";
}

onPress(document.getElementById("door"), "party", (_, { party }) => {
  if (Number(party)) {
    const guest = `door-${newId()}`;
    counted.push(guest);
    say("guest.checkin", { guest, party: Number(party), door: "Door" });
  } else if (counted.length) {
    say("guest.checkin", { guest: counted.pop(), party: 0, arrived: false });
  } else {
    toast("There is no count of yours to take back.");
  }
});
