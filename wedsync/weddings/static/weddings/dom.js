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

/** Like `arrange`, with nodes that are kept by key and filled anew only when their text has changed. */
export function list(parent, rows, fill) {
  parent.kept ??= new Map();
  const kept = new Map();
  const nodes = rows.map((row) => {
    const [key, ...parts] = fill(row);
    const text = JSON.stringify(parts);
    let known = parent.kept.get(key);
    if (known?.text !== text) {
      const node = known?.node ?? make("li");
      node.replaceChildren(...parts.flatMap(([tag, className, part], n) => (part ? [...(n ? [" "] : []), make(tag, className, part)] : [])));
      known = { node, text };
    }
    kept.set(key, known);
    return known.node;
  });
  parent.kept = kept;
  arrange(parent, nodes);
  return nodes;
}
