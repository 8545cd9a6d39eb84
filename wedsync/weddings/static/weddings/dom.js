/** Small tools for lists that change while somebody is using them. */

/** An element with a class and a text. @returns {HTMLElement} */
export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/** Make `nodes` the children, moving none that is in its place: what has the focus keeps it. */
export function arrange(parent, nodes) {
  const focused = document.activeElement;
  let cursor = parent.firstElementChild;
  const wanted = new Set(nodes);
  for (const node of nodes) {
    while (cursor && !wanted.has(cursor)) {
      const gone = cursor;
      cursor = cursor.nextElementSibling;
      gone.remove();
    }
    if (node === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(node, cursor);
  }
  while (cursor) {
    const gone = cursor;
    cursor = cursor.nextElementSibling;
    gone.remove();
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

/**
 * Like `arrange`, with nodes that are kept by key and filled anew only when they have changed. `fill(row)` gives a key and parts:
 * [tag, class, text, attributes?]; one without a text is left out.
 */
export function list(parent, rows, fill) {
  parent.kept ??= new Map();
  const kept = new Map();
  const nodes = rows.map((row) => {
    const [key, ...parts] = fill(row);
    const text = JSON.stringify(parts);
    let known = parent.kept.get(key);
    if (known?.text !== text) {
      const node = known?.node ?? make("li");
      refill(node, parts.filter(([, , part]) => part));
      known = { node, text };
    }
    kept.set(key, known);
    return known.node;
  });
  parent.kept = kept;
  arrange(parent, nodes);
  return nodes;
}

/** New contents; a button that had the focus hands it to the one in its place, or to the line when there is none. */
function refill(node, parts) {
  const place = [...node.querySelectorAll("button, a")].indexOf(document.activeElement);
  node.replaceChildren(
    ...parts.flatMap(([tag, className, text, attributes], n) => {
      const part = make(tag, className, text);
      for (const [name, value] of Object.entries(attributes ?? {})) part.setAttribute(name, value);
      return n ? [" ", part] : [part];
    }),
  );
  if (place < 0) return;
  const buttons = node.querySelectorAll("button, a");
  if (!buttons.length) node.tabIndex = -1;
  (buttons[Math.min(place, buttons.length - 1)] ?? node).focus({ preventScroll: true });
}

/**
 * Of a long list only the lines that are `wanted(n)`, until somebody asks for all of them; what has the focus stays.
 * @param {HTMLElement[]} nodes @param {(n: number) => boolean} wanted
 */
export function shorten(parent, nodes, wanted) {
  const all = parent.hasAttribute("data-all");
  const spare = nodes.filter((node, n) => !wanted(n) && !node.contains(document.activeElement));
  const few = spare.length < 3; // a button is as long as two lines
  for (const node of nodes) node.hidden = !all && !few && spare.includes(node);
  parent.more ??= more(parent);
  parent.more.hidden = few && !all;
  parent.more.textContent = all ? "Show fewer" : `Show all ${nodes.length}`;
  parent.more.setAttribute("aria-expanded", String(all));
  parent.more.onclick = () => {
    parent.toggleAttribute("data-all");
    shorten(parent, nodes, wanted);
  };
}

function more(parent) {
  const button = Object.assign(make("button", "quiet more"), { type: "button" });
  parent.after(button);
  return button;
}

/** A button as a part of `list`: `name` and `value` become its data attribute; "" as text leaves it out. */
export function press(text, name, value, { className = "", busy = false, label = "" } = {}) {
  const attributes = { type: "button", [`data-${name}`]: value, "data-testid": `${name}-${value}`.replaceAll(" ", "-") };
  if (label) attributes["aria-label"] = label;
  if (busy) Object.assign(attributes, { "data-busy": "", "aria-disabled": "true" });
  return ["button", className, text, attributes];
}
