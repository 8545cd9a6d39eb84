/** Keeps the last good copy of a wedding's page and of what it needs, so that it opens without a network. The network goes first. */
const KEPT = "wedsync";
const PATIENCE_MS = 6_000; // a silent network is no better than none
const GONE = [401, 403, 404, 410]; // a redirect, too: logged out, or not invited any more
const busy = ({ status }) => status >= 500 || status === 408 || status === 429; // of whoever is in front: it says nothing of the page

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate" || pathname.startsWith("/static/")) event.respondWith(answer(request));
});

async function answer(request) {
  const page = request.mode === "navigate";
  const kept = await caches.open(KEPT).catch(() => null); // without storage there is the network
  if (!kept) return fetch(request);
  const silence = new Promise((_, fail) => setTimeout(fail, PATIENCE_MS, new Error("nobody answers")));
  let fresh = null;
  try {
    fresh = await Promise.race([fetch(request), silence]);
    const copy = fresh.ok ? fresh.clone() : null;
    if (page && fresh.ok) await Promise.race([fresh.clone().arrayBuffer(), silence]); // headers alone are no page
    // A full disk keeps nothing, and is no reason to show nothing.
    if (copy) await kept.put(request.url, copy).catch(() => {});
    else if (page && (fresh.type === "opaqueredirect" || GONE.includes(fresh.status))) await kept.delete(request.url).catch(() => {});
    if (page && busy(fresh)) throw new Error("not the page");
    return fresh;
  } catch (error) {
    const copy = await kept.match(request.url);
    if (!copy && fresh) return fresh; // slow, and all there is
    if (!copy) throw error;
    return page ? asCopy(copy) : copy;
  }
}

/** The page says that it is a copy: its time is that of another hour. */
async function asCopy(copy) {
  const text = await copy.text();
  const headers = new Headers(copy.headers);
  for (const name of ["content-encoding", "content-length"]) headers.delete(name); // of what came over the network
  return new Response(text.replace("<html ", "<html data-copy "), { headers });
}
