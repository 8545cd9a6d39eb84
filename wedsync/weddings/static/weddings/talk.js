/** Chat, announcements, photos, and the news of the day. */
import { fresh } from "../realtime/state.js";
import { list } from "./dom.js";
import { at, capital, fields, now, onSubmit, pending, room, say, sending, signed, start, title, who, word } from "./live.js";

const NEWS_MAX = 14;
const PHOTOS_MAX = 12;
const tabs = [...document.querySelectorAll("[data-chat]")];
let chat = tabs[0]?.dataset.chat ?? "chat.guests";
const unread = new Map();

// -- chat -------------------------------------------------------------------------------------------------------------

export function showChat() {
  const box = fields.messages;
  if (!box) return;
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const said = room.state.last(chat).filter((pub) => fresh(pub, now()));
  const known = new Set(said.map((pub) => `${pub.from.member} ${pub.id}`));
  const waiting = pending().filter((entry) => entry.kind === chat && !known.has(`${start.member} ${entry.id}`));
  const lines = [
    ...said.map((pub) => ({ key: `${pub.from.member} ${pub.id}`, from: pub.from, text: pub.data.text, note: at(pub.at) })),
    ...waiting.map((entry) => ({ key: `${start.member} ${entry.id}`, from: { member: start.member }, text: entry.data.text, note: sending() })),
  ];
  const nodes = list(box, lines, (line) => [line.key, ["strong", "", who(line.from)], ["span", "soft", line.note], ["p", "", line.text]]);
  nodes.forEach((node, n) => node.classList.toggle("mine", lines[n].from.member === start.member));
  if (!lines.length) list(box, [0], () => [0, ["span", "soft", "Nobody has said anything yet."]])[0].className = "none";
  if (atEnd) box.scrollTop = box.scrollHeight;
  const total = [...unread.values()].reduce((sum, n) => sum + n, 0);
  fields.unread.hidden = total === 0;
  fields.unread.textContent = String(total);
  for (const button of tabs) {
    const n = unread.get(button.dataset.chat) ?? 0;
    button.dataset.unread = n ? String(n) : "";
    button.setAttribute("aria-pressed", String(button.dataset.chat === chat));
  }
  const input = document.getElementById("say");
  if (input) input.placeholder = { "chat.crew": "Message to the crew", "chat.guests": "Message to everyone" }[chat] ?? "Tell every guest";
}

const seen = new IntersectionObserver((entries) => {
  seen.now = entries.at(-1).isIntersecting;
  if (seen.now && unread.delete(chat)) showChat();
});
if (fields.messages) seen.observe(fields.messages);

for (const button of tabs) {
  button.addEventListener("click", () => {
    chat = button.dataset.chat;
    unread.delete(chat);
    showChat();
    toEnd();
  });
}
export const toEnd = () => fields.messages && (fields.messages.scrollTop = fields.messages.scrollHeight);
onSubmit(document.querySelector(".say"), ({ text }) => {
  if (!text) return false;
  toEnd();
  return say(chat, { text });
});

export function heard(pub) {
  if (pub.kind.startsWith("chat.") && !(seen.now && pub.kind === chat)) unread.set(pub.kind, (unread.get(pub.kind) ?? 0) + 1);
}

// -- announcements and photos -----------------------------------------------------------------------------------------

export function showAnnouncements() {
  if (!fields.announcements) return;
  const said = room.state.last("announcement").filter((pub) => fresh(pub, now())).reverse();
  list(fields.announcements, said, (pub) => [pub.offset, ["p", "", pub.data.text], ["span", "soft", `${who(pub.from)}, ${at(pub.at)}`]]);
  if (!said.length) list(fields.announcements, [0], () => [0, ["span", "soft", "Nothing announced yet."]]);
}

const photos = [];
export function showPhotos(pub) {
  if (!fields.photos) return;
  if (pub && photos.unshift(pub) > PHOTOS_MAX) photos.pop();
  list(fields.photos, photos, ({ id, from, at: when, data }) => [
    `${from.member} ${id}`,
    ["strong", "", data.caption || "A photo"],
    ["span", "soft", [`${who(from)}, ${at(when)}`, data.width && data.height ? `${data.width} × ${data.height}` : ""].filter(Boolean).join(" · ")],
    /^https:\/\//.test(data.url) ? ["a", "", "Open", { href: data.url, rel: "noopener noreferrer", target: "_blank" }] : [],
  ]);
  if (!photos.length) list(fields.photos, [0], () => [0, ["span", "soft", "Photos show up here while this page is open."]]);
}
onSubmit(document.querySelector(".share"), ({ url, caption }) => {
  return say("photo.new", { photo: `p${Date.now()}`, url, ...(caption ? { caption } : {}) });
});

// -- news -------------------------------------------------------------------------------------------------------------

export const CHANGES = new Set(["timeline.shift", "timeline.reorder", "timeline.restore", "timeline.event", "cue.go"]);
const changes = [...start.changes];
export function changed(pub) {
  if (changes.every((known) => known.offset !== pub.offset) && changes.push(pub) > 4 * NEWS_MAX) changes.shift();
}
/** The journal is another one: what it has under these offsets is something else. */
export const forgetChanges = () => changes.splice(0);
/** The last time that a cue was given. */
export const given = (item) => changes.findLast((pub) => pub.kind === "cue.go" && pub.data.item === item);

function news(pub) {
  const { data } = pub;
  const why = data.reason || data.note;
  const more = why ? ` (${why})` : "";
  const from = pub.from.name || word(pub.from.role);
  switch (pub.kind) {
    case "vendor.status": return ["Vendor", `${data.vendor} is ${word(data.status)}${data.delay_minutes ? `, ${signed(data.delay_minutes)}` : ""}${more}`];
    case "issue.report": return [data.state === "resolved" ? "Solved" : `Issue, ${data.severity}`, data.title];
    case "announcement": return ["To all", data.text];
    case "weather.alert": return ["Weather", data.text];
    case "timeline.shift": return ["Plan", `${from} moved ${title(data.item)} by ${signed(data.minutes)}${more}${misfits(pub)}`];
    case "timeline.reorder": return ["Plan", `${from} moved ${title(data.item)}${more}${misfits(pub)}`];
    case "timeline.restore": return ["Plan", `${from} took a change back${more}`];
    case "timeline.event": return ["Plan", `${title(data.item)} is ${data.status === "pending" ? "not done after all" : word(data.status)}${more}`];
    default: return ["Cue", `${title(data.item)}: go${more}`];
  }
}

function misfits(pub) {
  const titles = new Set((pub.result?.conflicts ?? []).map(({ item }) => title(item)));
  return titles.size ? `; this no longer fits: ${[...titles].join(", ")}` : "";
}

export function showNews() {
  if (!fields.feed) return;
  const state = ["vendor.status", "issue.report"].flatMap((kind) => room.state.latest(kind));
  const all = [...state, ...room.state.last("weather.alert"), ...room.state.last("announcement"), ...changes].filter((pub) => fresh(pub, now()));
  const latest = all.sort((a, b) => b.offset - a.offset).slice(0, NEWS_MAX);
  const nodes = list(fields.feed, latest, (pub) => {
    const [label, text] = news(pub);
    return [pub.offset, ["span", "tag", label], ["span", "", capital(text)], ["time", "soft", at(pub.at)]];
  });
  nodes.forEach((node, n) => (node.dataset.kind = latest[n].kind));
  if (!latest.length) list(fields.feed, [0], () => [0, ["span", "soft", "All quiet."]]);
}
