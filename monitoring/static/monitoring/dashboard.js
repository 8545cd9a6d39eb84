/**
 * Keeps the dashboard live: once a second the control loop says in room `ops` what stands where, and it is put there. The texts are
 * the server's; here nothing is worked out but how long ago it was said. When nothing comes that is shown instead of old figures
 * that look new.
 */
import { Room } from "../realtime/room.js";
import { Charts } from "./charts.js";
import { place } from "./placing.js";

const KIND = "ops.status";
const LATE_S = 3;
const STEP_MS = 250;

const page = document.querySelector("[data-ops]");
const start = JSON.parse(document.getElementById("ops-start").textContent);
const live = page.querySelector("[data-field=live]");
const said = page.querySelector("[data-field=said]");
const charts = new Charts(page, start);

let heardAt = start.age_s === null ? null : performance.now() - start.age_s * 1000;
let lastAt = 0;
let connection = { state: "connecting", reason: "" };
let refused = "";

const room = new Room(start.room, { door: location.pathname });
room.addEventListener("state", ({ detail }) => {
  connection = detail;
  tell();
});
room.addEventListener("refused", ({ detail }) => {
  refused = detail.reason || "You may not look at this any more. Please log in again.";
  tell();
});
room.addEventListener("publication", ({ detail: { pub } }) => {
  if (pub.kind !== KIND || pub.data.at_s <= lastAt) return; // of two control loops for a moment, or by two connections
  lastAt = pub.data.at_s;
  heardAt = performance.now();
  place(page, pub.data);
  charts.add(pub.data.at_s, pub.data.figures);
  tell();
});

/** In words, and announced only when the state changes: not every second. */
function tell() {
  const ago = heardAt === null ? null : Math.round((performance.now() - heardAt) / 1000);
  const late = ago === null || ago >= LATE_S;
  const state = refused ? "over" : late ? "late" : connection.state === "live" ? "live" : "connecting";
  const since = ago === null ? "" : `; last heard ${span(ago)} ago`;
  const text = {
    over: refused,
    late: (connection.state === "live" ? "The control loop is silent" : "Not connected, trying again") + since,
    live: "Live",
    connecting: "Live in a moment",
  }[state];
  page.toggleAttribute("data-late", late);
  live.dataset.state = state;
  if (said.textContent !== text) said.textContent = text;
}

const span = (s) => (s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`);

setInterval(tell, STEP_MS);
tell();
room.start();
addEventListener("pagehide", (event) => event.persisted || room.leave());
