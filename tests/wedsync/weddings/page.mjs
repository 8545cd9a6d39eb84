/** A page without a browser: as much of one as the scripts of a wedding's page ask for, and a clock that is turned by hand. */
const [, , weddings] = process.argv;
export const load = (name) => import(`${weddings}/${name}.js`);
export const clock = { now: Date.parse("2027-06-12T13:34:50Z") };
Date.now = () => clock.now;

export class Node {
  constructor(tag = "div") {
    Object.assign(this, { tag, dataset: {}, children: [], heard: {}, attributes: {}, style: {}, elements: {}, textContent: "", className: "", hidden: false, value: "", disabled: false });
  }
  append(...nodes) { this.children.push(...nodes); }
  replaceChildren(...nodes) {
    this.children = nodes;
    if (this.tag === "select") this.value = nodes[0]?.value ?? ""; // a browser chooses the first
  }
  insertBefore(node) { this.children = [...this.children.filter((child) => child !== node), node]; }
  addEventListener(type, hear) { (this.heard[type] ??= []).push(hear); }
  fire(type, event = {}) { for (const hear of this.heard[type] ?? []) hear({ preventDefault() {}, target: this, ...event }); }
  reset() { for (const field of Object.values(this.elements)) if (field.tag !== "select") field.value = ""; }
  closest() { return new Node(); }
  querySelector() { return null; }
  querySelectorAll() { return []; }
  contains() { return false; }
  setAttribute(name, value) { this.attributes[name] = value; }
  hasAttribute(name) { return name in this.attributes; }
  removeAttribute(name) { delete this.attributes[name]; }
  toggleAttribute() {}
  remove() {}
  after() {}
  get text() { return [this.textContent, ...this.children.map((child) => child.text ?? child)].filter(Boolean).join(" "); }
}

export const form = (fields) => {
  const made = new Node("form");
  for (const [name, value] of Object.entries(fields)) made.elements[name] = Object.assign(new Node(name === "from" ? "select" : "input"), { value });
  return made;
};
globalThis.FormData = class {
  constructor(of) { this.of = of; }
  [Symbol.iterator]() { return Object.entries(this.of.elements).map(([name, { value }]) => [name, value])[Symbol.iterator](); }
};
globalThis.IntersectionObserver = class { observe() {} };
globalThis.WebSocket = class { addEventListener() {} close() {} }; // nobody is there
globalThis.addEventListener = () => {};
globalThis.location = { protocol: "https:", host: "h", pathname: "/weddings/r/", href: "https://h/weddings/r/" };
Object.defineProperty(globalThis, "navigator", { value: { onLine: true }, configurable: true });

/** `items` of the run sheet; `parts`: {selector: node}; `names`: of the fields. Gives {name: field}. */
export function page({ member = "m1", role = "planner", items = [], parts = {}, names = [], people = [], trade = "" }) {
  const start = { slug: "r", member, role, zone: "UTC", now: clock.now, maxBytes: 4096, people, trade, changes: [], seen: [], epoch: "e", snapshot: { offset: 1, items, latest: [], recent: [] } };
  const fields = Object.fromEntries(["preview", "toasts", ...names].map((name) => [name, Object.assign(new Node(), { dataset: { field: name }, parentElement: new Node() })]));
  globalThis.document = Object.assign(new Node(), {
    documentElement: new Node(), body: new Node("body"), activeElement: null, visibilityState: "visible",
    getElementById: (id) => Object.assign(new Node(), { textContent: id === "start" ? JSON.stringify(start) : "", content: new Node() }),
    querySelector: (selector) => parts[selector] ?? null,
    querySelectorAll: (selector) => (selector.startsWith("body [data-field]") ? Object.values(fields) : []),
    createElement: (tag) => new Node(tag),
  });
  globalThis.window = globalThis;
  return fields;
}
export const item = (id, start, title, more = {}) => ({ id, start: `2027-06-12T${start}:00Z`, minutes: 30, title, where: "", kind: "flex", status: "pending", version: 1, ...more });
export const soon = (ms = 0) => new Promise((done) => setTimeout(done, ms));
