/** Reads the page again every two seconds and puts the new `data-again` in place of the old one; a focus inside stays where it is. */
const EVERY_MS = 2_000;

async function again() {
  const part = document.querySelector("[data-again]");
  if (document.visibilityState === "visible" && !part.contains(document.activeElement)) {
    try {
      const answer = await fetch(location.href, { redirect: "error", cache: "no-store" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-again]");
      if (answer.ok && fresh) part.replaceWith(fresh);
    } catch {} // no network: what is there says how old it is
  }
  setTimeout(again, EVERY_MS);
}

setTimeout(again, EVERY_MS);
