/**
 * What was said and has no final answer: kept in order, also over a reload, and said again when that makes sense.
 * The memory decides, IndexedDB is its copy; where there is none (some private windows), the memory has to do. Tabs of one member
 * share the copy: what a closed one has left the others take over. Said by two of them it is stored once, by its id.
 *
 * An emergency goes ahead of everything and waits for nothing but itself: a journal that is down refuses the chat before it, but
 * not the emergency.
 *
 * @typedef {{id: string, n: number, text: string, kind: string, data: any, at: number, inFlight: boolean, promised: boolean,
 *   notBefore?: number, refused?: {code: string, until: number}}} Pending `refused`: why it has not gone out yet, and until when
 *   (ms since 1970)
 */

import { URGENT } from "./state.js";

const MAX_CHARS = 1_048_576; // half a day of chat of one phone
const IN_FLIGHT_MAX = 16; // a long outbox sent at once would be refused as a flood
const SILENCE_MS = 2_000; // an IndexedDB that does not open (a blocked upgrade, a broken profile) holds nothing up

/** The server, or the network, did not take a publication. `code` is for programs, the message for people. */
export class PublishError extends Error {
  /** @param {string} code @param {string} message @param {string} [field] */
  constructor(code, message, field = "") {
    super(message);
    this.code = code;
    this.field = field;
  }
}

/** An id that nobody else makes; `randomUUID` exists only on https and localhost. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  /** @type {Map<string, Pending>} */ #pending = new Map();
  #chars = 0;
  #n = 0;
  #window = IN_FLIGHT_MAX;
  #settled = new Set(); // since the copy was last read
  /** @type {Store | null} */ #store = null;
  /** Nothing but emergencies is sent before this moment (ms of the room's clock). */
  retryAt = 0;

  /**
   * The outbox of this name with what an earlier page has left in it. Where that takes long it begins empty, and `late` is called
   * when the rest is there. @param {string} name @param {() => void} late
   */
  static async open(name, late) {
    const outbox = new Outbox();
    const opened = Store.open(name).then((store) => store && outbox.#attach(store));
    await soon(opened).catch(() => void opened.then(late));
    return outbox;
  }

  /** From now on this is the copy: what it has is older than what the memory has. */
  async #attach(store) {
    const rows = await store.all();
    const newer = this.entries();
    this.#pending.clear();
    this.#chars = 0;
    for (const row of rows) this.#put({ ...row, inFlight: false, promised: false });
    for (const entry of newer) {
      this.#put(Object.assign(entry, { n: this.#n + 1 }));
      store.put(row(entry));
    }
    this.#store = store;
  }

  /** Take over what is kept and not known here: of an earlier page, or of another tab. Resolves with whether there was anything. */
  async adopt() {
    this.#settled.clear();
    const rows = (await this.#store?.all()) ?? [];
    const found = rows.filter(({ id }) => !this.#pending.has(id) && !this.#settled.has(id));
    for (const row of found) this.#put({ ...row, inFlight: false, promised: false });
    return found.length > 0;
  }

  get size() {
    return this.#pending.size;
  }

  /** Whether it survives a reload. */
  get kept() {
    return this.#store !== null && !this.#store.failed;
  }

  /** What waits, oldest first. @returns {Pending[]} */
  entries() {
    return [...this.#pending.values()];
  }

  /** @param {string} id */
  has(id) {
    return this.#pending.has(id);
  }

  /** Keep a publication. The same id again changes nothing. Throws PublishError when too much waits. */
  add(id, kind, data, text) {
    if (this.#pending.has(id)) return;
    if (this.#chars + text.length > MAX_CHARS) {
      throw new PublishError("outbox_full", "Too much waits to be sent; this was not taken.");
    }
    const entry = { id, n: this.#n + 1, text, kind, data, at: Date.now(), inFlight: false, promised: false };
    this.#put(entry);
    this.#store?.put(row(entry));
  }

  /** There is a final answer. @param {string} id */
  settle(id) {
    const entry = this.#pending.get(id);
    if (!entry) return;
    this.#pending.delete(id);
    this.#settled.add(id);
    this.#chars -= entry.text.length;
    if (entry.inFlight) this.#window = Math.min(IN_FLIGHT_MAX, this.#window + 1);
    this.#store?.delete(id);
  }

  /** It left without the journal; the final answer comes when it comes and holds nothing else up. @param {string} id */
  promised(id) {
    const entry = this.#pending.get(id);
    if (entry) Object.assign(entry, { promised: true, inFlight: false });
  }

  /** Refused for now: from `at` on, one at a time until answers come. @param {string} id @param {number} at
   * @param {{code: string, until: number}} [refused] */
  postpone(id, at, refused) {
    const entry = this.#pending.get(id);
    if (entry) Object.assign(entry, { promised: false, inFlight: false, notBefore: at, refused });
    if (entry && URGENT.has(entry.kind)) return;
    this.#window = 1;
    this.retryAt = Math.max(this.retryAt, at);
  }

  /** When `take` has something again that was postponed; Infinity: nothing was. */
  get dueAt() {
    const urgent = this.#urgent().map((entry) => entry.notBefore || Infinity);
    return Math.min(this.retryAt || Infinity, ...urgent);
  }

  /** The connection was lost: everything has to be said again, in order. */
  again() {
    for (const entry of this.#pending.values()) Object.assign(entry, { promised: false, inFlight: false, notBefore: 0, refused: undefined });
  }

  /** The texts that may be sent now. @param {number} now @returns {string[]} */
  take(now) {
    const urgent = this.#urgent().filter((entry) => now >= (entry.notBefore || 0));
    for (const entry of urgent) entry.inFlight = true;
    const texts = urgent.map((entry) => entry.text);
    if (now < this.retryAt) return texts;
    this.retryAt = 0;
    let free = this.#window;
    for (const entry of this.#pending.values()) if (entry.inFlight) free -= 1;
    for (const entry of this.#pending.values()) {
      if (free <= 0) break;
      if (entry.inFlight || entry.promised || URGENT.has(entry.kind)) continue;
      entry.inFlight = true;
      texts.push(entry.text);
      free -= 1;
    }
    return texts;
  }

  /** Emergencies that are to be sent (again). */
  #urgent() {
    return this.entries().filter((entry) => URGENT.has(entry.kind) && !entry.inFlight && !entry.promised);
  }

  #put(entry) {
    this.#pending.set(entry.id, entry);
    this.#chars += entry.text.length;
    this.#n = Math.max(this.#n, entry.n);
  }
}

/** What is kept of an entry. @param {Pending} entry */
const row = ({ id, n, text, kind, data, at }) => ({ id, n, text, kind, data, at });

/** The rows of one outbox in IndexedDB, keyed by [name, id]. A failed write leaves the memory in charge. */
class Store {
  /** Whether a write was lost: the disk is full, or the browser has closed the database. */
  failed = false;

  constructor(db, name) {
    this.db = db;
    this.name = name;
    db.onversionchange = () => db.close();
    db.onclose = () => (this.failed = true);
  }

  /** Null when there is no usable IndexedDB. @param {string} name @returns {Promise<Store | null>} */
  static async open(name) {
    try {
      const request = indexedDB.open("wedsync", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("outbox", { keyPath: ["name", "id"] });
      return new Store(await done(request), name);
    } catch {
      return null;
    }
  }

  async all() {
    try {
      const range = IDBKeyRange.bound([this.name], [this.name, []]);
      const rows = await soon(done(this.#rows("readonly").getAll(range)));
      return rows.sort((a, b) => a.n - b.n);
    } catch {
      return [];
    }
  }

  put(row) {
    this.#write((rows) => rows.put({ ...row, name: this.name }));
  }

  delete(id) {
    this.#write((rows) => rows.delete([this.name, id]));
  }

  #write(change) {
    const lost = () => (this.failed = true);
    try {
      const rows = this.#rows("readwrite");
      rows.transaction.onabort = lost; // a full disk shows only when it commits
      done(change(rows)).catch(lost);
    } catch {
      lost(); // the database was closed under us (another tab upgrades it); the memory still has it
    }
  }

  #rows(mode) {
    return this.db.transaction("outbox", mode).objectStore("outbox");
  }
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @template T @param {Promise<T>} answer @returns {Promise<T>} */
function soon(answer) {
  const silence = new Promise((_, fail) => setTimeout(fail, SILENCE_MS, new Error("IndexedDB does not answer")));
  return Promise.race([answer, silence]);
}
