/** Has the browser keep this page (`worker.js`), and what the day had come to when it was last looked at. */
const KEPT = "wedsync";
const SAVE_MS = 10_000;
const usable = "serviceWorker" in navigator && "caches" in window; // only over https, and on this machine
/** Whether this page is a copy that was kept for when there is no network. */
export const isCopy = document.documentElement.hasAttribute("data-copy");
/** Every page of this site that is open in this browser. @type {BroadcastChannel | null} */
export const tabs = "BroadcastChannel" in window ? new BroadcastChannel(KEPT) : null;
const state = () => `${location.pathname}state`;
const owner = () => `${location.pathname}owner`;

/** What `member` knew when this page was last in sight, when the page itself is a copy; else null. */
export async function lastState(member) {
  if (!usable || !isCopy) return null;
  try {
    const known = await (await (await caches.open(KEPT)).match(state()))?.json();
    return known?.member === member ? known : null;
  } catch {
    return null;
  }
}

/** From now on keep it for `member`, and nothing that somebody else saw here. `snapshot` gives the state of the moment. */
export async function keep(member, snapshot) {
  if (!usable) return;
  try {
    if (!isCopy) await forgetOthers(member);
    await navigator.serviceWorker.register("/worker.js", { scope: "/weddings/" });
    await navigator.serviceWorker.ready;
    const kept = await caches.open(KEPT);
    const parts = performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.includes("/static/"));
    // The first time nothing went through the worker yet.
    if (!(await kept.match(location.href))) await kept.addAll([location.href, ...new Set(parts)]);
    let saved = "";
    const save = () => {
      const known = snapshot();
      const news = `${known.snapshot.offset} ${known.skew}`;
      if (news === saved) return;
      saved = news;
      kept.put(state(), new Response(JSON.stringify(known))).catch(() => (saved = "")); // a full disk
    };
    document.addEventListener("visibilitychange", save);
    setInterval(save, SAVE_MS); // a page that is killed is not told before
  } catch {
    // A browser that keeps nothing (private windows) still has the page that is open.
  }
}

/** A planner's tablet in the hands of a guest: what is kept of this wedding and is not of this member goes. */
async function forgetOthers(member) {
  const kept = await caches.open(KEPT);
  const before = await (await kept.match(owner()))?.text();
  if (before === member) return;
  const theirs = (await kept.keys()).filter(({ url }) => new URL(url).pathname.startsWith(location.pathname));
  await Promise.all(theirs.map((request) => kept.delete(request)));
  await kept.put(owner(), new Response(member));
}

/** Forget all of it: somebody has logged out, or is not invited any more. */
export const forget = () => usable && caches.delete(KEPT);
