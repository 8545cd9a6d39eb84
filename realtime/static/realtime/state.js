/**
 * What a member knows of its room: the snapshot and every publication since, reduced to one state. Pure; the same rules as
 * `realtime/state.py`, and a test compares the two. Taking a publication twice, or two in the wrong order, makes no difference.
 *
 * @typedef {{member: string, role: string, name?: string}} Sender
 * @typedef {{kind: string, id: string, from: Sender, at: string, data: any, result?: any, offset?: number, prev?: number,
 *            provisional?: boolean, expires_at?: string, replaces?: string}} Pub
 * @typedef {{id: number, start: string, minutes: number, title: string, where: string, kind: string, status: string,
 *            version: number, planned?: string, who?: string[], notes?: string, depends_on?: number[], visibility?: string}} Item
 * @typedef {{offset: number, items: Item[], latest: Pub[], recent: Pub[]}} Snapshot
 */

/** Kinds of which the newest with the same key is the current state: {kind: the field of its data that is the key}. "from" in
 * front: for each member by itself. */
export const KEYED = {
  "emergency.alert": "alert",
  "vendor.status": "vendor",
  "issue.report": "issue",
  "guest.checkin": "guest",
  "seating.change": "guest",
  "rsvp.change": "guest",
  "menu.change": "guest",
  seen: "from about",
};
/** Kinds that stand for themselves; the latest of them are kept. */
export const KEYLESS = new Set(["announcement", "weather.alert", "chat.crew", "chat.guests"]);
/** Kinds that are shown and forgotten, and never sent a second time. */
export const EPHEMERAL = new Set(["photo.new", "reaction", "presence", "receipts", "typing", "vendor.location", "bench.tick", "ops.status"]);
/** Kinds that may leave before they are stored. */
export const URGENT = new Set(["emergency.alert"]);

const RECENT_MAX = 50;
const RECENT_OFFSETS = 500;
const REPLACED_MAX = 1000;
const MEMBERS_REPLACE_THEIR_OWN = new Set(["couple", "vendor", "guest", "display", "load"]);

/** The name of a publication: the same name is the same publication. @param {Pub} pub */
export const identity = (pub) => `${pub.from.member} ${pub.id}`;

export class RoomState {
  constructor() {
    this.position = 0;
    /** @type {Map<number, Item>} */
    this.items = new Map();
    /** @type {Map<string, Pub>} */
    this.provisional = new Map();
    /** @type {Map<string, Map<number, Pub>>} kind -> offset -> publication */
    this.recent = new Map();
    /** @type {Map<string, Pub>} "kind key" -> publication, replaced ones included */
    this.newest = new Map();
    /** @type {Map<number, number>} */
    this.itemOffsets = new Map();
    /** @type {Map<string, Pub>} "kind id" -> what took its place */
    this.replaced = new Map();
  }

  /** The newest publication about each thing of this kind. @param {string} kind @returns {Pub[]} */
  latest(kind) {
    return [...this.newest.values()].filter((pub) => pub.kind === kind && !this.isReplaced(pub));
  }

  /** The latest of a kind without a key, oldest first. @param {string} kind @returns {Pub[]} */
  last(kind) {
    const known = this.recent.get(kind) ?? new Map();
    return [...known.values()].sort((a, b) => a.offset - b.offset);
  }

  /** The run sheet in order of time. @returns {Item[]} */
  sheet() {
    return [...this.items.values()].sort((a, b) => Date.parse(a.start) - Date.parse(b.start) || a.id - b.id);
  }

  /** The same in the form of the message it once came in. @returns {Snapshot} */
  snapshot() {
    const latest = [...this.newest.values()].filter((pub) => !this.isReplaced(pub));
    const recent = [...this.recent.values()].flatMap((kind) => [...kind.values()]);
    return { offset: this.position, items: this.sheet(), latest, recent };
  }

  /** Forget everything; this is the state. @param {Snapshot} snapshot */
  restore(snapshot) {
    const provisional = this.provisional;
    Object.assign(this, new RoomState());
    this.position = snapshot.offset ?? 0;
    for (const item of snapshot.items) {
      this.items.set(item.id, item);
      // The items may be newer than the offset (it is read first), never older.
      this.itemOffsets.set(item.id, this.position);
    }
    for (const pub of [...snapshot.latest, ...snapshot.recent]) this.#keep(pub);
    const known = new Set([...this.newest.values()].map(identity));
    for (const [name, pub] of provisional) if (!known.has(name)) this.provisional.set(name, pub);
  }

  /** One publication, in whatever order it comes. @param {Pub} pub */
  take(pub) {
    if (pub.provisional && !pub.offset) this.provisional.set(identity(pub), pub);
    if (!pub.offset) return;
    this.provisional.delete(identity(pub));
    this.reach(pub.offset);
    if (pub.result) this.#takeItems(pub.result, pub.offset);
    if (pub.kind === "timeline.items") this.#takeItems(pub.data, pub.offset);
    if (pub.replaces) this.#replace(pub);
    this.#keep(pub);
  }

  /** Everything up to `offset` was taken. @param {number} offset */
  reach(offset) {
    this.position = Math.max(this.position, offset);
  }

  /** By its author, or by a planner. @param {Pub} pub */
  isReplaced(pub) {
    const by = this.replaced.get(`${pub.kind} ${pub.id}`);
    if (!by || by.offset <= pub.offset) return false;
    return !MEMBERS_REPLACE_THEIR_OWN.has(by.from.role) || by.from.member === pub.from.member;
  }

  /** The state at `now` (ms) in the form of `RoomState.as_json` in Python. @param {number} now */
  asJson(now) {
    const horizon = this.position - RECENT_OFFSETS;
    const recent = [...this.recent.values()].flatMap((kind) => [...kind.values()]).filter((pub) => pub.offset > horizon);
    const latest = [...this.newest].filter(([, pub]) => !this.isReplaced(pub) && fresh(pub, now));
    return {
      items: Object.fromEntries(this.items),
      latest: Object.fromEntries(latest.map(([name, pub]) => [name, plain(pub)])),
      recent: recent.filter((pub) => fresh(pub, now)).sort((a, b) => a.offset - b.offset).map(plain),
    };
  }

  #takeItems(change, offset) {
    for (const item of change.items ?? []) {
      const known = this.items.get(item.id);
      const at = this.itemOffsets.get(item.id) ?? 0;
      if (!known && at > offset) continue; // it was removed after this
      // Of one version the first form stays: it is the fullest that this member may see.
      if (!known || (item.version ?? 0) > (known.version ?? 0)) this.items.set(item.id, item);
      this.itemOffsets.set(item.id, Math.max(offset, at));
    }
    for (const id of change.removed ?? []) {
      if (offset < (this.itemOffsets.get(id) ?? 0)) continue;
      this.items.delete(id);
      this.itemOffsets.set(id, offset);
    }
  }

  #keep(pub) {
    const field = Object.hasOwn(KEYED, pub.kind) ? KEYED[pub.kind] : "";
    if (field) {
      const own = field.startsWith("from ");
      const about = pub.data[own ? field.slice("from ".length) : field];
      const name = `${pub.kind} ${own ? `${pub.from.member} ` : ""}${about}`;
      const known = this.newest.get(name);
      if (!known || pub.offset > known.offset) this.newest.set(name, pub);
    } else if (KEYLESS.has(pub.kind) && !this.isReplaced(pub)) {
      if (!this.recent.has(pub.kind)) this.recent.set(pub.kind, new Map());
      const recent = this.recent.get(pub.kind);
      recent.set(pub.offset, pub);
      if (recent.size > RECENT_MAX) recent.delete(Math.min(...recent.keys()));
    }
  }

  #replace(pub) {
    this.replaced.set(`${pub.kind} ${pub.replaces}`, pub);
    if (this.replaced.size > REPLACED_MAX) this.replaced.delete(this.replaced.keys().next().value);
    const recent = this.recent.get(pub.kind) ?? new Map();
    for (const [offset, known] of recent) if (this.isReplaced(known)) recent.delete(offset);
  }
}

/** Whether a publication still counts at `now` (ms). @param {Pub} pub @param {number} now */
export function fresh(pub, now) {
  return !pub.expires_at || Date.parse(pub.expires_at) > now;
}

function plain(pub) {
  const { kind, id, offset, data, expires_at } = pub;
  return { kind, id, from: pub.from.member, offset, data, ...(expires_at ? { expires_at } : {}) };
}
