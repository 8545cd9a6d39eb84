/**
 * Puts texts where they belong, and touches only what has changed: focus, selection and scrolling stay as they are.
 *
 * `data-text="name"`: the text; `data-tone-of="name"`: its value becomes `data-tone`; `data-mark="name"`: a severity as a tone;
 * `data-show="name"`: hidden while the text is empty; `data-width="name"`: a width; `data-href`: an address with the row's key in it.
 * `data-list="name"`: one element for each row, by its key, made from the list's own <template>.
 */
const TONES = { page: "bad", ticket: "warn", info: "quiet" };

/** @param {HTMLElement} page @param {{texts: Record<string, string>, rows: Record<string, {key: string, texts: Record<string, string>}[]>}} shown */
export function place(page, { texts, rows }) {
  const lists = [...page.querySelectorAll("[data-list]")];
  fill(page, texts, (element) => !element.closest("[data-list]"));
  for (const list of lists) arrange(list, rows[list.dataset.list] ?? []);
}

function arrange(list, rows) {
  const known = new Map([...list.children].filter((child) => child.dataset.key !== undefined).map((child) => [child.dataset.key, child]));
  const template = list.querySelector(":scope > template");
  let after = null;
  for (const row of rows) {
    let element = known.get(row.key);
    known.delete(row.key);
    if (!element) {
      element = template.content.firstElementChild.cloneNode(true);
      element.dataset.key = row.key;
    }
    fill(element, { key: row.key, ...row.texts }, () => true);
    address(element, row.key);
    const next = after ? after.nextElementSibling : list.firstElementChild;
    if (element !== next) list.insertBefore(element, next);
    after = element;
  }
  for (const element of known.values()) element.remove();
}

function fill(root, texts, mine) {
  const all = (selector) => [root, ...root.querySelectorAll(selector)].filter((e) => e.matches(selector) && mine(e));
  for (const element of all("[data-text]")) {
    const text = texts[element.dataset.text];
    if (text !== undefined && element.textContent !== text) element.textContent = text;
  }
  for (const element of all("[data-tone-of]")) set(element, "tone", texts[element.dataset.toneOf]);
  for (const element of all("[data-mark]")) {
    set(element, "tone", TONES[texts[element.dataset.mark]]);
    set(element, "severity", texts[element.dataset.mark]);
  }
  for (const element of all("[data-show]")) element.hidden = !texts[element.dataset.show];
  for (const element of all("[data-width]")) element.style.width = texts[element.dataset.width] ?? "0%";
}

function set(element, name, value = "") {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

function address(element, key) {
  for (const link of element.querySelectorAll("[data-href]")) {
    const href = link.dataset.href.replace(/\/(0|key-of-it)\//, `/${encodeURIComponent(key)}/`);
    if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  }
}
