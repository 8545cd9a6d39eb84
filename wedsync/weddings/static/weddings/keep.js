/** Has the browser keep this page (`worker.js`), and what the day had come to when it was last looked at. */
const KEPT = "wedsync";
const usable = "serviceWorker" in navigator && "caches" in window; // only over https, and on this machine
const state = () => `${location.pathname}state`;

/** What was known when this page was last in sight, when the page itself is a copy; else null. */
export async function lastState() {
  if (!usable || !document.documentElement.hasAttribute("data-copy")) return null;
  try {
    return await (await (await caches.open(KEPT)).match(state()))?.json();
  } catch {
    return null;
  }
}

/** From now on keep it. `snapshot` gives the state of the moment. */
export async function keep(snapshot) {
  if (!usable) return;
  try {
    await navigator.serviceWorker.register("/worker.js", { scope: "/weddings/" });
    await navigator.serviceWorker.ready;
    const kept = await caches.open(KEPT);
    const parts = performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.includes("/static/"));
    // The first time nothing went through the worker yet.
    if (!(await kept.match(location.href))) await kept.addAll([location.href, ...new Set(parts)]);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) kept.put(state(), new Response(JSON.stringify(snapshot())));
    });
  } catch {
    // A browser that keeps nothing (private windows) still has the page that is open.
  }
}

/** Forget all of it: somebody has logged out, or is not invited any more. */
export const forget = () => usable && caches.delete(KEPT);
