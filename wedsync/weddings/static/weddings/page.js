/** The live page of a wedding: keeps what the server rendered current. Data goes into `textContent`, never into markup. */
import { NOT_YOU } from "../realtime/room.js";
import { offerUndo, remember, showBehind, startBefore } from "./behind.js";
import { forget, keep, tabs } from "./keep.js";
import { at, checkClock, fields, now, remembered, room, setPending, start, toast } from "./live.js";
import { rememberPending, settled, showCues, showDoor, showIssues, showVendors } from "./people.js";
import { showMine, showNow, showSheet, tellMoved } from "./plan.js";
import { CHANGES, changed, forgetChanges, heard, showAnnouncements, showChat, showNews, showPhotos, toEnd } from "./talk.js";
import { forgetMeasured, measure, refused, showAlerts, showConnection, showPeople, showTrust } from "./trust.js";

const plans = document.querySelector("[data-behind]") !== null;
const parts = [
  showSheet, showNow, showMine, showChat, showAnnouncements, showVendors, showCues, showIssues, showDoor, showNews, showAlerts, showTrust, showPeople, showBehind,
  showConnection,
];

/** As much as leaves the rest of a phone's screen to be seen; all of it is under Announcements. */
const EXCERPT = 160;
const excerpt = (text) => (text.length > EXCERPT ? `${text.slice(0, EXCERPT).replace(/[\ud800-\udbff]$/, "")}…` : text);

let drawing = false;
/** Many publications in one moment are one drawing. A page in the background draws late, so a timer and not a frame. */
function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    for (const part of parts) part();
    remember();
  }, 0);
}

room.addEventListener("publication", ({ detail: { pub, via } }) => {
  if (CHANGES.has(pub.kind)) changed(pub);
  if (pub.kind === "photo.new") showPhotos(pub);
  measure(pub);
  if (via === "live" && pub.from.member !== start.member) {
    heard(pub);
    if (!plans) tellMoved(pub, startBefore);
    if (!plans && pub.kind === "announcement") toast(excerpt(pub.data.text)); // and so is read out
  }
  offerUndo(pub, via === "live"); // last: from here on this is what was before
  draw();
});
room.addEventListener("pending", ({ detail }) => {
  setPending(detail.entries, detail.kept);
  rememberPending();
  draw();
});
room.addEventListener("settled", ({ detail: { ref, error, mine } }) => {
  if (!error) settled(ref);
  else if (!mine) toast(error.message, "problem");
  draw();
});
room.addEventListener("welcome", ({ detail }) => detail.replaced && (forgetChanges(), forgetMeasured()));
for (const name of ["snapshot", "confirmed", "live", "present", "receipts", "state"]) room.addEventListener(name, draw);
room.addEventListener("refused", ({ detail }) => (detail.code === NOT_YOU ? location.reload() : (forget(), refused(detail))));
tabs?.addEventListener("message", () => (room.leave(), location.reload())); // nobody is logged in any more
for (const name of ["online", "offline"]) addEventListener(name, showConnection);

document.documentElement.setAttribute("data-live", "");
setInterval(() => {
  if (document.hidden) return;
  checkClock();
  if (fields.clock.textContent === at(now())) showConnection(); // "waiting" shows after a second
  else draw(); // a new minute: what is on now, and what has expired
}, 1_000);
showPhotos();
draw();
toEnd();
room.start();
keep(start.member, remembered);
