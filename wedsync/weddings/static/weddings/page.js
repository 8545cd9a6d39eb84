/** The live page of a wedding: keeps what the server rendered current. Data goes into `textContent`, never into markup. */
import { NOT_YOU, Room } from "../realtime/room.js";
import { fresh } from "../realtime/state.js";
import { list, arrange, make } from "./dom.js";

const start = JSON.parse(document.getElementById("start").textContent);
const room = new Room(start.slug, { ...start, door: location.pathname });
const fields = Object.fromEntries([...document.querySelectorAll("body [data-field]")].map((node) => [node.dataset.field, node]));
const isPlanner = document.querySelector(".acts") !== null;
const OVER = ["completed", "cancelled"];
const NEWS_MAX = 14;
const TOAST_MS = 6_000;
const WORDS = { en_route: "on the way", checked_in: "checked in", on_site: "on site", in_progress: "under way", completed: "done" };
const word = (name) => WORDS[name] ?? String(name).replaceAll("_", " ");

// -- time at the venue ------------------------------------------------------------------------------------------------

const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: start.zone, ...options });
const clock = format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayName = format({ weekday: "long", day: "numeric", month: "long" });
const seconds = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const at = (moment) => clock.format(moment);
// Phones with a wrong clock exist; below two seconds it is only the way from the server.
const loaded = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart ?? performance.now());
const skew = Math.abs(start.now - loaded) > 2_000 ? start.now - loaded : 0;
const now = () => Date.now() + skew;
const signed = (minutes) => `${minutes > 0 ? "+" : "−"}${Math.abs(minutes)} min`;

// -- small tools ------------------------------------------------------------------------------------------------------

function toast(text, className = "") {
  const node = make("p", className, text);
  fields.toasts.append(node);
  while (fields.toasts.children.length > 3) fields.toasts.firstElementChild.remove();
  setTimeout(() => node.remove(), TOAST_MS);
}

async function say(kind, data) {
  try {
    await room.publish(kind, data);
  } catch (error) {
    if (error.code !== "refused" || room.phase !== "over") toast(error.message, "problem");
  }
}

// -- run sheet --------------------------------------------------------------------------------------------------------

const rows = new Map([...fields.sheet.querySelectorAll("[data-item]")].map((row) => [Number(row.dataset.item), row]));
const planned = new Map([...room.state.items.values()].map((item) => [item.id, item.start]));
let pending = [];

function showSheet() {
  const days = new Set(room.state.sheet().map((item) => dayName.format(new Date(item.start))));
  const nodes = [];
  let day = "";
  for (const item of room.state.sheet()) {
    const itsDay = dayName.format(new Date(item.start));
    if (days.size > 1 && itsDay !== day) {
      const heading = [...fields.sheet.querySelectorAll(".day")].find((node) => node.textContent === itsDay);
      nodes.push(heading ?? make("li", "day", itsDay));
    }
    day = itsDay;
    nodes.push(showItem(item));
  }
  const ids = new Set(room.state.items.keys());
  for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
  arrange(fields.sheet, nodes);
}

function showItem(item) {
  if (!rows.has(item.id)) {
    rows.set(item.id, document.getElementById("item").content.firstElementChild.cloneNode(true));
    planned.set(item.id, planned.get(item.id) ?? item.start);
  }
  const row = rows.get(item.id);
  const field = (name) => row.querySelector(`[data-field="${name}"]`);
  const time = field("at");
  const moved = time.dateTime !== "" && Date.parse(time.dateTime) !== Date.parse(item.start);
  Object.assign(row.dataset, { item: item.id, kind: item.kind, status: item.status, visibility: item.visibility ?? "" });
  row.toggleAttribute("data-now", isNow(item));
  time.dateTime = item.start;
  const texts = { at: at(new Date(item.start)), title: item.title, where: item.where, minutes: `${item.minutes} min` };
  const more = { who: (item.who ?? []).join(", "), notes: item.notes ?? "" };
  for (const [name, text] of Object.entries({ ...texts, ...more })) {
    const node = field(name);
    if (node && node.textContent !== text) node.textContent = text;
  }
  const late = Math.round((Date.parse(item.start) - Date.parse(planned.get(item.id))) / 60_000);
  field("shifted").hidden = late === 0;
  field("shifted").textContent = late === 0 ? "" : signed(late);
  row.toggleAttribute("data-earlier", late < 0);
  if (moved) {
    row.removeAttribute("data-moved");
    void row.offsetWidth; // starts the highlight anew when it moves twice
    row.setAttribute("data-moved", "");
  }
  showSending(row, item.id);
  return row;
}

/** What waits to be sent for this item, also from before a reload. */
function showSending(row, id) {
  const mine = pending.filter((entry) => entry.data.item === id);
  const node = row.querySelector('[data-field="sending"]');
  const words = mine.map(({ kind, data }) => (kind === "timeline.shift" ? signed(data.minutes) : word(data.status)));
  node.hidden = mine.length === 0;
  node.textContent = mine.length ? `${words.join(", ")}: ${room.phase === "live" ? "sending…" : "waiting to be sent"}` : "";
  for (const button of row.querySelectorAll("[data-act]")) {
    const busy = mine.some(({ kind, data }) => kind === button.dataset.act && same(button, data));
    button.toggleAttribute("data-busy", busy);
    button.setAttribute("aria-disabled", String(busy));
  }
}

const same = (button, data) => (button.dataset.to ? data.status === button.dataset.to : data.minutes === Number(button.dataset.minutes));

fields.sheet.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-act]");
  if (!button || button.hasAttribute("data-busy")) return;
  const item = Number(button.closest("[data-item]").dataset.item);
  const { act, to, minutes } = button.dataset;
  say(act, to ? { item, status: to } : { item, minutes: Number(minutes) });
});

// -- now and next -----------------------------------------------------------------------------------------------------

const counts = (item) => item.kind !== "buffer" && !OVER.includes(item.status);
const ends = (item) => Date.parse(item.start) + item.minutes * 60_000;
const isNow = (item) => counts(item) && (item.status === "in_progress" || (Date.parse(item.start) <= now() && now() < ends(item)));

function showNow() {
  const sheet = room.state.sheet();
  const current = sheet.filter(isNow);
  const next = sheet.find((item) => counts(item) && !isNow(item) && Date.parse(item.start) > now());
  const where = (item, text) => [item.where, text].filter(Boolean).join(" · ");
  const until = (item) => (ends(item) < now() ? `should have ended ${at(ends(item))}` : `until ${at(ends(item))}`);
  list(fields.now, current, (item) => [item.id, ["strong", "", item.title], ["span", "soft", where(item, until(item))]]);
  if (!current.length) list(fields.now, [0], () => [0, ["span", "soft", "Nothing at the moment"]]);
  list(fields.next, [next], () =>
    next
      ? [next.id, ["strong", "", next.title], ["span", "soft", where(next, `at ${at(Date.parse(next.start))}`)], ["span", "in", inMinutes(next)]]
      : [0, ["span", "soft", "Nothing more is planned"]],
  );
  fields.clock.textContent = at(now());
  for (const [id, row] of rows) row.toggleAttribute("data-now", isNow(room.state.items.get(id)));
}

function inMinutes(item) {
  const minutes = Math.ceil((Date.parse(item.start) - now()) / 60_000);
  return minutes < 60 ? `in ${minutes} min` : minutes < 24 * 60 ? `in ${Math.floor(minutes / 60)} h ${minutes % 60} min` : "";
}

// -- chat -------------------------------------------------------------------------------------------------------------

let chat = document.querySelector("[data-chat][aria-pressed=true]")?.dataset.chat ?? "chat.guests";
const unread = new Map();

function showChat() {
  const box = fields.messages;
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const said = room.state.last(chat).filter((pub) => fresh(pub, now()));
  const known = new Set(said.map((pub) => `${pub.from.member} ${pub.id}`));
  const waiting = pending.filter((entry) => entry.kind === chat && !known.has(`${start.member} ${entry.id}`));
  const lines = [
    ...said.map((pub) => ({ key: `${pub.from.member} ${pub.id}`, from: pub.from, text: pub.data.text, note: at(Date.parse(pub.at)) })),
    ...waiting.map((entry) => ({
      key: `${start.member} ${entry.id}`,
      from: { member: start.member },
      text: entry.data.text,
      note: room.phase === "live" ? "sending…" : "waiting to be sent",
    })),
  ];
  const nodes = list(box, lines, (line) => [
    line.key,
    ["strong", "", line.from.member === start.member ? "You" : line.from.name || word(line.from.role)],
    ["span", "soft", line.note],
    ["p", "", line.text],
  ]);
  nodes.forEach((node, n) => node.classList.toggle("mine", lines[n].from.member === start.member));
  if (!lines.length) list(box, [0], () => [0, ["span", "soft", "Nobody has said anything yet."]])[0].className = "none";
  if (atEnd) box.scrollTop = box.scrollHeight;
  const total = [...unread.values()].reduce((sum, n) => sum + n, 0);
  fields.unread.hidden = total === 0;
  fields.unread.textContent = String(total);
  for (const button of document.querySelectorAll("[data-chat]")) {
    const n = unread.get(button.dataset.chat) ?? 0;
    button.dataset.unread = n ? String(n) : "";
    button.setAttribute("aria-pressed", String(button.dataset.chat === chat));
  }
  const input = document.getElementById("say");
  if (input) input.placeholder = chat === "chat.crew" ? "Message to the crew" : "Message to everyone";
}

const chatSeen = new IntersectionObserver((entries) => {
  chatSeen.now = entries.at(-1).isIntersecting;
  if (chatSeen.now && unread.delete(chat)) showChat();
});
chatSeen.observe(fields.messages);

document.querySelector("#chat .switch")?.addEventListener("click", ({ target }) => {
  if (!target.dataset.chat) return;
  chat = target.dataset.chat;
  unread.delete(chat);
  showChat();
  fields.messages.scrollTop = fields.messages.scrollHeight;
});

document.querySelector(".say")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("say");
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  say(chat, { text });
  fields.messages.scrollTop = fields.messages.scrollHeight;
});

// -- news, people, alarms ---------------------------------------------------------------------------------------------

const changes = [];

function news(pub) {
  const { data } = pub;
  const title = room.state.items.get(data.item)?.title ?? "an item";
  const why = data.reason || data.note;
  const more = why ? ` (${why})` : "";
  const who = pub.from.name || word(pub.from.role);
  switch (pub.kind) {
    case "vendor.status": {
      const delay = data.delay_minutes ? `, ${signed(data.delay_minutes)}` : "";
      return ["Vendor", `${data.vendor} is ${word(data.status)}${delay}${more}`];
    }
    case "issue.report": return [data.state === "resolved" ? "Solved" : `Issue, ${data.severity}`, data.title];
    case "weather.alert": return ["Weather", data.text];
    case "timeline.shift": return ["Plan", `${who} moved ${title} by ${signed(data.minutes)}${more}${misfits(pub)}`];
    case "timeline.reorder": return ["Plan", `${who} moved ${title}${more}${misfits(pub)}`];
    case "timeline.event": return ["Plan", `${title} is ${word(data.status)}${more}`];
    case "cue.go": return ["Cue", `${title}: go${more}`];
    default: return null;
  }
}

function misfits(pub) {
  const titles = new Set((pub.result?.conflicts ?? []).map(({ item }) => room.state.items.get(item)?.title ?? "something"));
  return titles.size ? `; this no longer fits: ${[...titles].join(", ")}` : "";
}

function showNews() {
  if (!fields.feed) return;
  const state = ["vendor.status", "issue.report"].flatMap((kind) => room.state.latest(kind));
  const all = [...state, ...room.state.last("weather.alert"), ...changes].filter((pub) => fresh(pub, now()));
  const latest = all.sort((a, b) => b.offset - a.offset).slice(0, NEWS_MAX);
  const nodes = list(fields.feed, latest, (pub) => {
    const [label, text] = news(pub);
    return [pub.offset, ["span", "tag", label], ["span", "", text], ["time", "soft", at(Date.parse(pub.at))]];
  });
  nodes.forEach((node, n) => (node.dataset.kind = latest[n].kind));
  if (!latest.length) list(fields.feed, [0], () => [0, ["span", "soft", "All quiet."]]);
}

function showPeople({ detail: { members } }) {
  if (!fields.people) return;
  const crew = members.filter((m) => m.role !== "guest").sort((a, b) => a.role.localeCompare(b.role) || (a.name ?? "").localeCompare(b.name ?? ""));
  const guests = members.length - crew.length;
  const lines = crew.map((m) => [m.member, m.name || m.role, m.role]);
  if (guests) lines.push(["guests", guests === 1 ? "1 guest" : `${guests} guests`, ""]);
  list(fields.people, lines, ([key, name, role]) => [key, ["strong", "", name], ["span", "soft", role]]);
  fields.count.textContent = String(members.length);
}

function showAlerts() {
  const alerts = [...room.state.provisional.values(), ...room.state.latest("emergency.alert")];
  const active = alerts.filter((pub) => (pub.data.state ?? "active") === "active" && fresh(pub, now()));
  const cleared = new Set(alerts.filter((pub) => pub.data.state === "all_clear" && pub.provisional).map((pub) => pub.data.alert));
  const shown = new Map(active.filter((pub) => !cleared.has(pub.data.alert)).map((pub) => [pub.data.alert, pub]));
  const text = JSON.stringify([...shown.values()].map((pub) => pub.data));
  if (fields.alerts.shown === text) return;
  fields.alerts.shown = text;
  fields.alerts.replaceChildren(
    ...[...shown.values()].map(({ data, from }) => {
      const node = make("p", "alert");
      node.append(make("strong", "", word(data.category)), " ", make("span", "", data.text));
      node.append(" ", make("span", "", [data.where, from.name].filter(Boolean).join(" · ")));
      return node;
    }),
  );
}

// -- the connection ---------------------------------------------------------------------------------------------------

let wasLive = false;

function showConnection() {
  const box = fields.connection.parentElement;
  const live = room.phase === "live";
  wasLive ||= live;
  box.dataset.state = room.phase === "over" ? "over" : live ? "live" : navigator.onLine ? "connecting" : "offline";
  const since = `since ${seconds.format(room.since.getTime() + skew)}`;
  const words = { live: "Live", connecting: wasLive ? `Reconnecting ${since}` : "Connecting…", offline: `Offline ${since}` };
  const text = words[box.dataset.state];
  if (text && fields.connection.textContent !== text) fields.connection.textContent = text;
  fields.waiting.hidden = pending.length === 0 || (live && pending.every((entry) => Date.now() - entry.at < 1_000));
  fields.waiting.textContent = pending.length ? `${pending.length} waiting to be sent` : "";
}

function showAll() {
  showSheet();
  showNow();
  showChat();
  showNews();
  showAlerts();
  showConnection();
}

let drawing = false;
/** Many publications in one moment are one drawing. A page in the background draws late, so a timer and not a frame. */
function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    showAll();
  }, 0);
}

room.addEventListener("publication", ({ detail: { pub, via } }) => {
  if (/^(timeline\.(shift|reorder|event)|cue\.go)$/.test(pub.kind) && changes.push(pub) > NEWS_MAX) changes.shift();
  const others = via === "live" && pub.from.member !== start.member;
  if (others && pub.kind.startsWith("chat.") && !(chatSeen.now && pub.kind === chat)) {
    unread.set(pub.kind, (unread.get(pub.kind) ?? 0) + 1);
  }
  const items = pub.result?.items ?? (pub.kind === "timeline.items" ? pub.data.items : undefined);
  const first = items?.find((item) => item.id === pub.data.item) ?? items?.[0];
  if (others && !isPlanner && first && !OVER.includes(first.status)) toast(`${first.title}: now ${at(Date.parse(first.start))}`);
  draw();
});
room.addEventListener("pending", ({ detail }) => {
  pending = detail.entries;
  draw();
});
room.addEventListener("settled", ({ detail: { error, mine } }) => error && !mine && toast(error.message, "problem"));
room.addEventListener("present", showPeople);
for (const name of ["snapshot", "confirmed", "live"]) room.addEventListener(name, draw);
room.addEventListener("state", draw);
room.addEventListener("refused", ({ detail }) => {
  if (detail.code === NOT_YOU) return location.reload();
  fields.connection.textContent = `You are no longer connected. ${detail.reason || "Open your join link again, or log in."}`;
  document.documentElement.removeAttribute("data-live");
  showConnection();
});
for (const name of ["online", "offline"]) addEventListener(name, showConnection);

document.documentElement.setAttribute("data-live", "");
setInterval(() => {
  if (document.hidden) return;
  if (fields.clock.textContent === at(now())) showConnection(); // "waiting" shows after a second
  else draw(); // a new minute: what is on now, and what has expired
}, 1_000);
showAll();
fields.messages.scrollTop = fields.messages.scrollHeight;
room.start();
