/** What all parts of a live page share: the room, the fields of the page, time at the venue, words, and how to say something. */
import { Room } from "../realtime/room.js";
import { make } from "./dom.js";
import { isCopy, lastState } from "./keep.js";

const given = JSON.parse(document.getElementById("start").textContent);
export const start = { ...given, ...(await lastState(given.member)) };
export const room = new Room(start.slug, { ...start, door: location.pathname, lead: start.role === "planner" });
/** {name: element}; a page has only the parts that are for its reader. */
export const fields = Object.fromEntries([...document.querySelectorAll("body [data-field]:not(template *)")].map((node) => [node.dataset.field, node]));
export const OVER = ["completed", "cancelled"];
const TOAST_MS = 6_000;
const TOASTS_MAX = 3;
const WORDS = {
  en_route: "on the way", checked_in: "here", on_site: "here", in_progress: "under way", completed: "done", delayed: "late", pending: "expected",
};
export const word = (name) => WORDS[name] ?? String(name).replaceAll("_", " ");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const who = (from) => (from.member === start.member ? "You" : from.name || word(from.role));
const waiting = { entries: [], kept: true };
/** What waits to be sent, oldest first. @returns {import("../realtime/outbox.js").Pending[]} */
export const pending = () => waiting.entries;
/** Whether it would survive that this page is closed. */
export const pendingIsKept = () => waiting.kept;
export const setPending = (entries, kept) => Object.assign(waiting, { entries, kept });
export const sending = () => (room.phase === "live" ? "sending…" : "waiting to be sent");
/** The same of an emergency: the time that it goes out at, and no countdown, which would be read out every second. */
export function alerting({ refused, inFlight }) {
  const held = room.phase === "live" && refused?.code === "rate_limited" && !inFlight;
  return held ? `not sent yet: too many alerts, goes out at ${exactly(refused.until)}` : sending();
}

// -- time at the venue ------------------------------------------------------------------------------------------------

const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: start.zone, ...options });
const clock = format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayName = format({ weekday: "long", day: "numeric", month: "long" });
const seconds = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
export const at = (moment) => clock.format(typeof moment === "string" ? Date.parse(moment) : moment);
export const day = (moment) => dayName.format(new Date(moment));
const WRONG_MS = 2_000;
// Phones with a wrong clock exist; below this it is only the way from the server.
// Not `timeOrigin`: it may be of a clock that stood still while the device slept.
const loaded = Date.now() - performance.now() + (performance.getEntriesByType("navigation")[0]?.responseStart ?? performance.now());
const wrong = (ms) => (Math.abs(ms) > WRONG_MS ? ms : 0);
let skew = isCopy ? (start.skew ?? 0) : wrong(start.now - loaded); // a copy was served in another hour
const pace = () => Date.now() - performance.now();
let known = pace();
let doubted = isCopy;
/** Call now and then. Either the device has slept, or its clock was set while the page was open: only the server knows. */
export function checkClock() {
  if (Math.abs(pace() - known) <= WRONG_MS) return;
  [known, doubted] = [pace(), true];
  room.ask();
}
room.addEventListener("live", () => doubted && room.ask());
room.addEventListener("time", ({ detail: { at: theirs, asked } }) => {
  const took = Date.now() - asked;
  if (took < 0 || took > 2 * WRONG_MS) return; // too long on its way to tell
  [skew, doubted] = [wrong(theirs + took / 2 - Date.now()), false];
});
export const now = () => Date.now() + skew;
/** What a copy of this page goes on from. */
export const remembered = () => ({ ...room.remembered(), skew });
export const exactly = (moment) => seconds.format(moment + skew);
export const signed = (minutes) => `${minutes > 0 ? "+" : "−"}${Math.abs(minutes)} min`;
/** How long until then, in the words of a person. */
export function until(moment) {
  const minutes = Math.ceil((moment - now()) / 60_000);
  if (minutes <= 0) return "now";
  return minutes < 60 ? `in ${minutes} min` : minutes < 24 * 60 ? `in ${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}` : "";
}

// -- items ------------------------------------------------------------------------------------------------------------

export const title = (id) => room.state.items.get(id)?.title ?? "an item";
export const starts = (item) => Date.parse(item.start);
export const ends = (item) => starts(item) + item.minutes * 60_000;
export const counts = (item) => item.kind !== "buffer" && !OVER.includes(item.status);
export const isNow = (item) => counts(item) && (item.status === "in_progress" || (starts(item) <= now() && now() < ends(item)));
/** Minutes that the day has moved an item, later is positive. */
export const late = (item) => Math.round((starts(item) - Date.parse(item.planned ?? item.start)) / 60_000);
export const concerns = (item, trade) => Boolean(trade) && (item.who ?? []).some((name) => name.toLowerCase() === trade.toLowerCase());

// -- saying something -------------------------------------------------------------------------------------------------

export function toast(text, className = "", button = null) {
  const node = make("p", className, text);
  if (button) node.append(" ", button);
  fields.toasts.append(node);
  const told = [...fields.toasts.children].filter((other) => !other.querySelector("button")); // an Undo stays as long as it may
  for (const old of told.slice(0, -TOASTS_MAX)) old.remove();
  setTimeout(() => node.remove(), button ? 10 * TOAST_MS : TOAST_MS);
  return node;
}

/** Publish, and tell when it was refused. Resolves with whether it is stored. */
export async function say(kind, data) {
  try {
    await room.publish(kind, data);
    return true;
  } catch (error) {
    if (error.code !== "refused" || room.phase !== "over") toast(error.message, "problem");
    return false;
  }
}

/** Call `act(button, dataset)` for clicks on buttons with this data attribute inside `parent`, where there is one. */
export function onPress(parent, name, act) {
  parent?.addEventListener("click", ({ target }) => {
    const button = target.closest(`[data-${name}]`);
    if (button && !button.hasAttribute("data-busy")) act(button, button.dataset);
  });
}

/** Call `act(values, form)` when this form is sent; it is emptied, and filled again where `act` comes to false: not taken. */
export function onSubmit(form, act) {
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    const said = act(Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])), form);
    if (said !== false) emptied(form, said);
  });
}

/** Empty the form. What was in it comes back when it was not taken, unless something else has been written there meanwhile. */
export function emptied(form, said) {
  const values = [...new FormData(form)];
  form.reset();
  const empty = JSON.stringify([...new FormData(form)]);
  Promise.resolve(said).then((taken) => {
    if (taken !== false || JSON.stringify([...new FormData(form)]) !== empty) return;
    for (const [name, value] of values) form.elements[name].value = value;
  });
}
