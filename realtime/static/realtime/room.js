/**
 * One wedding, live: the browser's half of docs/protocol.md. No build step, no dependency.
 *
 *     const room = new Room("rose-garden");
 *     room.addEventListener("publication", ({ detail }) => show(detail.pub));
 *     room.start();
 *     await room.publish("chat.crew", { text: "Doors in five" });
 *
 * Events (`detail`):
 * - state {state: "connecting" | "live" | "offline", since: Date, reason, attempt}: `since` is when it began; while connecting
 *   or offline, when the connection was lost
 * - welcome {member, recovered, replaced}, snapshot {state}, live {upTo, recovered}: catching up begins, starts over, is complete;
 *   `replaced`: the journal is another one, and offsets that were told before mean nothing
 * - publication {pub, via: "live" | "replay" | "provisional"}; confirmed {pub}: one that was shown before is stored now
 * - present {members: Sender[]} (crew only), receipts (planners only; `room.receipts` has them), pending {size, entries, kept}: what waits to be sent
 * - time {at, asked}: the server's time `at` (ms), told after `ask` was called at `asked` by the clock of this device
 * - settled {ref, ok?, error?, mine}: the final answer to a publish; `mine` false: to one of an earlier page
 * - refused {code, reason}: the server does not want this member (any more); nothing comes after it
 */
import { ABNORMAL } from "./link.js";
import { MovingLink } from "./moving.js";
import { Outbox, PublishError, newId } from "./outbox.js";
import { EPHEMERAL, RoomState, URGENT, identity } from "./state.js";

export { PublishError, newId };

const PROTOCOL = "wedsync.v1";
const BASE_MS = 500; // a phone that only changed the mast is back before anybody notices
const CAP_MS = 20_000;
const ACK_EVERY = 32;
const ACK_AFTER_MS = 2_000;
const ACK_SOON_MS = 20; // for what asks for it: a measurement, and still one answer to a burst
const RETRY_MS = 1_000; // when the server does not say how long
const SHOWN_MAX = 64;
const KNOCK_EVERY = 2; // sessions refused in a row
const TRY_AGAIN = new Set(["journal_unavailable", "rate_limited", "overloaded"]);
const STATE_LOST = 4020;
/** `refused` with this code: reload the page. */
export const NOT_YOU = 409;

export class Room extends EventTarget {
  state = new RoomState();
  /** @type {import("./state.js").Sender | null} */ member = null;
  /** @type {Map<string, import("./state.js").Sender>} */ present = new Map();
  /** How far the devices of the others are, planners only: {member: [offset, ms or null]}.
   * @type {Map<string, [number, number | null]>} */ receipts = new Map();
  /** "idle" | "waiting" | "connecting" | "joining" | "live" | "over" */ phase = "idle";
  since = new Date();
  /** @type {MovingLink | null} */ #link = null;
  #name;
  #outbox = new Outbox();
  #ready;
  #position = null;
  #epoch;
  #resume = "";
  #return = BASE_MS;
  #byTicket = false;
  #skipTicket = false;
  #recovered = false;
  #attempt = 0;
  #failed = 0;
  #goodbye = null;
  #connectAt = 0;
  #notBefore = 0;
  #asked = 0;
  #unacked = 0;
  #ackAt = Infinity;
  #timer = 0;
  #dueAt = Infinity;
  #shown = new Set();
  #answers = new Map();
  #lead = {};
  #fleeting = new Set();
  #listening = new AbortController();

  /**
   * @param {string} slug
   * @param {{epoch?: string, since?: number, snapshot?: import("./state.js").Snapshot, member?: string, url?: string,
   *          door?: string, maxBytes?: number, lead?: boolean}} [options] `epoch` with `since` (or a whole `snapshot`): where to go on from. `member`: who the page
   *   is for. `door`: a page of which the HTTP status tells whether this member may still come in. `maxBytes` of one message:
   *   the server closes for good on a larger one, and it would be sent again after every reload. `lead`: who leads the day, and
   *   should be where the others are also when that is nearly full.
   */
  constructor(slug, options = {}) {
    super();
    const { epoch = "", since, snapshot, member = "", door = "", maxBytes = 4096, lead = false } = options;
    this.url = options.url ?? `${location.protocol.replace("http", "ws")}//${location.host}/ws/weddings/${slug}/`;
    this.door = door;
    this.maxBytes = maxBytes;
    this.#lead = lead ? { lead: "1" } : {};
    this.#name = member;
    this.#epoch = epoch;
    if (snapshot) {
      this.state.restore(snapshot);
      for (const pub of snapshot.latest) if (URGENT.has(pub.kind)) this.#isNew(pub);
    }
    const start = since ?? snapshot?.offset;
    if (epoch && start !== undefined) this.#position = start;
    const found = () => {
      this.#tellPending();
      this.#flush();
    };
    this.#ready = Outbox.open(`${slug}/${member}`, found).then((outbox) => {
      this.#outbox = outbox;
      found();
    });
  }

  /** What a page of another day goes on from, as options of a new room. */
  remembered() {
    return { member: this.#name, epoch: this.#epoch, snapshot: { ...this.state.snapshot(), offset: this.#position ?? 0 } };
  }

  /** Connect and stay connected. */
  start() {
    if (this.phase !== "idle") return;
    const { signal } = this.#listening;
    addEventListener("online", () => this.#hurry(true), { signal });
    addEventListener("offline", () => this.#link?.hangUp("the device is offline"), { signal });
    addEventListener("pageshow", (event) => event.persisted && this.#hurry(true), { signal });
    document.addEventListener("visibilitychange", () => this.#visibility(), { signal });
    this.#connect();
  }

  /** Go on purpose: the others see it at once. */
  leave() {
    this.#link?.send({ t: "leave" });
    this.#stop();
  }

  /**
   * Say something. Resolves with the server's `ok` once it is stored, over any number of connections; what a reload interrupts is
   * still sent, and `settled` tells the answer. Ephemeral kinds are sent now or never.
   * @param {string} kind @param {object} data @param {{id?: string, expires_at?: string, replaces?: string}} [more]
   * @returns {Promise<{ref: string, offset?: number}>} rejects with PublishError
   */
  async publish(kind, data, more = {}) {
    const { id = newId(), ...rest } = more;
    const text = JSON.stringify({ t: "publish", id, kind, data, ...rest });
    if (new Blob([text]).size > this.maxBytes) throw new PublishError("too_large", "This is too long; please say it in parts.");
    if (EPHEMERAL.has(kind)) {
      if (this.phase !== "live") throw new PublishError("connection_lost", "There is no connection, and this is not sent later.");
      this.#fleeting.add(id);
      this.#link.send(text);
    } else {
      await this.#ready; // what an earlier page has left goes first
      if (this.phase === "over") throw new PublishError("refused", "You are no longer connected to this wedding.");
      this.#outbox.add(id, kind, data, text);
      this.#tellPending();
      this.#flush();
    }
    return new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }

  /** Ask the server what time it is, when there is a connection. */
  ask() {
    if (this.phase !== "live") return;
    this.#asked = Date.now();
    this.#link.probe();
  }

  // -- connecting ---------------------------------------------------------------------------------------------------

  #connect() {
    this.phase = "connecting";
    this.#byTicket = this.#resume !== "" && !this.#skipTicket;
    const known = this.#position !== null && this.#epoch;
    const query = String(new URLSearchParams({ ...this.#lead, ...(known && { epoch: this.#epoch, since: String(this.#position) }) }));
    this.#goodbye = null;
    this.#link = new MovingLink(this.url + (query && `?${query}`), this.#byTicket ? [PROTOCOL, `ticket.${this.#resume}`] : [PROTOCOL], {
      opened: () => this.#opened(),
      received: (message) => this.#receive(message),
      closed: (code, reason) => this.#closed(code, reason),
      resumed: (ticket) => (this.#resume = ticket),
    });
    this.#tellState("connecting", "");
  }

  #opened() {
    this.phase = "joining";
    this.#failed = 0;
    this.#skipTicket = false;
  }

  #closed(code, reason) {
    const goodbye = this.#goodbye;
    this.#link = null;
    this.#outbox.again();
    this.#ackAt = Infinity;
    for (const ref of this.#fleeting) this.#settle(ref, null, new PublishError("connection_lost", "The connection was lost."));
    if (goodbye && (code === 1005 || code === ABNORMAL)) code = goodbye.code;
    reason ||= goodbye?.reason ?? "";
    if (code >= 4400 && code <= 4499) return this.#refuse(code, reason);
    if (code === STATE_LOST) this.#position = null;
    if (this.phase === "connecting") this.#wasNotLetIn();
    if (this.phase === "live") this.since = new Date();
    const base = code === ABNORMAL && this.#attempt === 0 ? this.#return : BASE_MS * 2 ** Math.min(this.#attempt, 10);
    const wait = goodbye?.retry_after_ms || Math.random() * Math.min(CAP_MS, base);
    this.#attempt += 1;
    this.#connectAt = performance.now() + wait;
    this.#notBefore = goodbye?.retry_after_ms ? this.#connectAt : 0;
    this.phase = "waiting";
    this.#tellState("offline", reason);
    this.#arm();
  }

  /** A ticket may be too old: the session is next, then the ticket again. A browser does not tell 403 from no network: ask. */
  #wasNotLetIn() {
    this.#skipTicket = this.#byTicket;
    if (this.#byTicket || !this.door) return;
    this.#failed += 1;
    if (this.#failed % KNOCK_EVERY === 0) this.#knock();
  }

  async #knock() {
    try {
      const answer = await fetch(this.door, { method: "HEAD", redirect: "manual", cache: "no-store" });
      const unwanted = answer.type === "opaqueredirect" || [401, 403, 404, 410].includes(answer.status);
      if (unwanted && (this.phase === "waiting" || this.phase === "connecting")) this.#refuse(403, "");
    } catch {} // no network
  }

  #refuse(code, reason) {
    this.#stop();
    for (const { reject } of this.#answers.values()) reject(new PublishError("refused", reason || "You may not enter this wedding."));
    this.#answers.clear();
    this.#emit("refused", { code, reason });
  }

  #stop() {
    this.phase = "over";
    this.#listening.abort();
    clearTimeout(this.#timer);
    this.#link?.drop();
    this.#link = null;
  }

  /** The server serves a phone in a pocket sparingly. */
  #visibility() {
    const visible = document.visibilityState === "visible";
    if (visible) this.#hurry();
    if (this.phase === "live") this.#link?.send({ t: "hint", visible });
  }

  /** The network or the page is back: do not wait. `anew`: do not trust a handshake that is under way either. */
  #hurry(anew = false) {
    if (this.phase === "waiting") {
      this.#connectAt = this.#notBefore;
      this.#attempt = 0;
      this.#arm();
    } else if (this.phase === "connecting" && anew) {
      this.#attempt = 0;
      this.#link.hangUp("the network is back");
    } else if (this.phase === "live" || this.phase === "joining") {
      this.#link.probe();
    }
  }

  // -- time ---------------------------------------------------------------------------------------------------------

  /** Have `tick` called no later than something has to be done. */
  #arm() {
    const at = this.#due();
    if (at >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => {
      this.#dueAt = Infinity;
      this.#tick(performance.now());
      this.#arm();
    }, Math.max(0, at - performance.now()));
  }

  #due() {
    if (this.phase === "waiting") return this.#connectAt;
    return this.phase === "live" ? Math.min(this.#ackAt, this.#outbox.dueAt) : Infinity;
  }

  #tick(now) {
    if (this.phase === "waiting" && now >= this.#connectAt) this.#connect();
    if (this.phase !== "live") return;
    if (now >= this.#ackAt) this.#ack();
    this.#flush();
  }

  #ack() {
    this.#unacked = 0;
    this.#ackAt = Infinity;
    this.#link.send({ t: "ack", offset: this.#position ?? 0 });
  }

  #flush() {
    if (this.phase !== "live" || !this.#link) return;
    for (const text of this.#outbox.take(performance.now())) this.#link.send(text);
    this.#arm();
  }

  // -- what arrives -------------------------------------------------------------------------------------------------

  #receive(message) {
    switch (message.t) {
      case "welcome": return this.#welcome(message);
      case "snapshot": return this.#snapshot(message);
      case "live": return this.#live(message);
      case "pub": return this.#pub(message);
      case "ok": return this.#ok(message);
      case "error": return this.#error(message);
      case "pong": return this.#pong(message);
      case "plan": return this.#link.beat(message.heartbeat_s * 1000);
      case "goodbye": this.#goodbye = message;
    }
  }

  #welcome({ member, epoch, recovered = false, heartbeat_s, return_ms }) {
    // Somebody else logged in meanwhile: what the page shows, and what waits to be sent, is not theirs.
    if (this.#name && member.member !== this.#name) return this.#refuse(NOT_YOU, "You are somebody else now.");
    const replaced = this.#epoch !== "" && epoch !== this.#epoch;
    if (replaced) this.receipts.clear(); // what they had is not in this journal
    this.member = member;
    this.#epoch = epoch;
    this.#return = return_ms || BASE_MS;
    this.#link.beat(heartbeat_s * 1000);
    this.#recovered = recovered;
    if (!recovered) this.#position = null;
    this.#emit("welcome", { member, recovered, replaced });
  }

  #snapshot(snapshot) {
    this.#position = snapshot.offset;
    this.state.restore(snapshot);
    for (const pub of snapshot.latest) if (URGENT.has(pub.kind)) this.#isNew(pub);
    this.#emit("snapshot", { state: this.state });
  }

  #live({ up_to, present = [], receipts = [] }) {
    this.#position = up_to;
    this.state.reach(up_to);
    this.phase = "live";
    this.#attempt = 0;
    this.since = new Date();
    // Also when it was said before: the server may be another one by now, and has to know.
    this.#ackAt = Math.min(this.#ackAt, performance.now() + ACK_AFTER_MS);
    this.#takeReceipts(receipts);
    this.present = new Map(present.map((sender) => [sender.member, sender]));
    this.#tellState("live", "");
    this.#emit("live", { upTo: up_to, recovered: this.#recovered });
    this.#tellPresent();
    this.#flush();
    this.#adopt();
  }

  /** What another tab has left goes out with this connection. */
  async #adopt() {
    await this.#ready;
    if (!(await this.#outbox.adopt())) return;
    this.#tellPending();
    this.#flush();
  }

  #pub(pub) {
    const via = this.phase === "joining" ? "replay" : "live";
    if (!pub.offset) {
      if (pub.kind === "presence") this.#presence(pub.data);
      if (pub.kind === "receipts") this.#takeReceipts(pub.data.receipts);
      if (pub.provisional && !this.#isNew(pub)) return;
      this.state.take(pub);
      this.#emit("publication", { pub, via: pub.provisional ? "provisional" : via });
      return;
    }
    if (this.#position !== null && pub.offset <= this.#position) return;
    if (this.#position === null || (pub.prev ?? 0) !== this.#position) {
      if (this.phase === "joining") this.#position = null; // even the replay has a gap: start from a snapshot
      this.#link.hangUp("something was missing");
      return;
    }
    this.#position = pub.offset;
    this.state.take(pub);
    this.#unacked += 1;
    if (this.#unacked >= ACK_EVERY) this.#ack();
    else this.#ackAt = Math.min(this.#ackAt, performance.now() + (pub.ack ? ACK_SOON_MS : ACK_AFTER_MS));
    this.#arm();
    if (URGENT.has(pub.kind) && !this.#isNew(pub)) this.#emit("confirmed", { pub });
    else this.#emit("publication", { pub, via });
  }

  /** Whether this emergency was not shown before. */
  #isNew(pub) {
    const name = identity(pub);
    if (this.#shown.has(name)) return false;
    this.#shown.add(name);
    if (this.#shown.size > SHOWN_MAX) this.#shown.delete(this.#shown.values().next().value);
    return true;
  }

  #takeReceipts(receipts) {
    for (const [member, offset, ms] of receipts) {
      if (offset > (this.receipts.get(member)?.[0] ?? -1)) this.receipts.set(member, [offset, ms ?? null]);
    }
    if (receipts.length) this.#emit("receipts", {});
  }

  #pong({ at }) {
    if (!at) return; // it brought a fresh ticket, and is no answer
    const asked = this.#asked;
    this.#asked = 0;
    if (asked) this.#emit("time", { at: Date.parse(at), asked });
  }

  #presence({ member, role, name, state }) {
    if (state === "here") this.present.set(member, { member, role, name });
    else this.present.delete(member);
    this.#tellPresent();
  }

  #ok(ok) {
    if (ok.provisional) {
      this.#outbox.promised(ok.ref);
      this.#flush();
    } else {
      this.#settle(ok.ref, ok, null);
    }
  }

  #error({ ref = "", code, message, field, retry_after_ms }) {
    if (this.#outbox.has(ref) && TRY_AGAIN.has(code)) {
      const wait = retry_after_ms || RETRY_MS;
      this.#outbox.postpone(ref, performance.now() + wait, { code, until: Date.now() + wait });
      this.#tellPending();
      this.#arm();
    } else {
      this.#settle(ref, null, new PublishError(code, message, field));
    }
  }

  #settle(ref, ok, error) {
    this.#fleeting.delete(ref);
    const kept = this.#outbox.has(ref);
    this.#outbox.settle(ref);
    const answer = this.#answers.get(ref);
    this.#answers.delete(ref);
    if (error) answer?.reject(error);
    else answer?.resolve(ok);
    this.#emit("settled", { ref, ...(error ? { error } : { ok }), mine: Boolean(answer) });
    if (kept) this.#tellPending();
    this.#flush();
  }

  // -- telling the page ---------------------------------------------------------------------------------------------

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #tellState(state, reason) {
    this.#emit("state", { state, reason, since: this.since, attempt: this.#attempt });
  }

  #tellPresent = () => this.#emit("present", { members: [...this.present.values()] });

  #tellPending() {
    this.#emit("pending", { size: this.#outbox.size, entries: this.#outbox.entries(), kept: this.#outbox.kept });
  }
}
