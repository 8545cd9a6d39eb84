/**
 * A link that changes to another process when the server asks for it (`move`), without anybody noticing: a second WebSocket is
 * opened and resumes; when it is live it is the one, and the first one is closed a moment later. Looks like one `Link` from outside.
 *
 * While both are open a publication comes twice. A durable one is told by its offset, which the room looks at anyway; an ephemeral
 * one by author and id, here. What is said while answers are still to come on the first one waits for them, so that two processes
 * cannot store it in another order.
 */
import { Link } from "./link.js";
import { EPHEMERAL } from "./state.js";

const PROTOCOL = "wedsync.v1";
const SPREAD_MS = 200; // those that were asked in one turn do not come in one turn
const LINGER_MS = 500; // what came on the first one may be late on the second one, and the other way round
const ANSWERS_MS = 2_000; // so long the first one stays for answers
const AGAIN_MS = 1_000;
const OF_THE_FIRST = new Set(["pub", "ok", "error"]);

export class MovingLink {
  #url;
  #lead;
  #on;
  #link;
  #second = null;
  #first = null;
  #epoch = "";
  #position = 0;
  #resume = "";
  #member = "";
  #bySession = false; // the next try is without a ticket
  #shown = null; // while moving: ephemeral publications that came
  /** @type {Map<string, {text: string, fleeting: boolean, link: Link}>} what was said, where, and is not answered */
  #waiting = new Map();
  #promised = new Map(); // what has left without the journal: its final answer is to come
  #held = [];
  #over = false;
  #until = 0;

  /**
   * @param {string} url @param {string[]} protocols
   * @param {{opened: () => void, received: (message: any) => void, closed: (code: number, reason: string) => void,
   *          resumed: (ticket: string) => void}} on as for `Link`; `resumed`: a fresh ticket for the next connection
   */
  constructor(url, protocols, on) {
    this.#url = url.split("?")[0];
    this.#lead = /[?&]lead=1/.test(url) ? { lead: "1" } : {};
    this.#on = on;
    this.#link = this.#connect(url, protocols);
  }

  get open() {
    return this.#link.open;
  }

  get heartbeat() {
    return this.#link.heartbeat;
  }

  /** @param {string | object} message */
  send(message) {
    const text = typeof message === "string" ? message : JSON.stringify(message);
    const { t, id, kind } = JSON.parse(text);
    if (t !== "publish") return this.#link.send(text);
    if (this.#first && this.#waiting.size) return void this.#held.push(text);
    this.#waiting.set(id, { text, fleeting: EPHEMERAL.has(kind), link: this.#link });
    this.#link.send(text);
  }

  beat = (ms) => this.#link.beat(ms);
  probe = () => this.#link.probe();

  hangUp(reason) {
    this.#link.hangUp(reason);
  }

  drop() {
    this.#over = true;
    for (const link of [this.#link, this.#second, this.#first]) link?.drop();
  }

  #connect(url, protocols) {
    const link = new Link(url, protocols, {
      opened: () => link === this.#link && this.#on.opened(),
      received: (message) => this.#received(link, message),
      closed: (code, reason) => this.#closed(link, code, reason),
    });
    return link;
  }

  #received(link, message) {
    if (link === this.#second) return this.#arriving(link, message);
    if (link === this.#first && !OF_THE_FIRST.has(message.t)) return;
    if (message.resume) this.#renew(message.resume);
    if (message.t === "move") return this.#asked(message.url);
    this.#note(message);
    if (message.t !== "pub" || message.offset || !message.id || this.#isNew(message)) this.#on.received(message);
    if (message.ref) this.#speak();
  }

  /** With a welcome, when it is asked to move, and now and then: a ticket lives for minutes, a connection for a day. */
  #renew(ticket) {
    this.#resume = ticket;
    this.#on.resumed(ticket);
  }

  /** Where this member is, so that the second connection can go on from there. */
  #note({ t, member, epoch, offset = 0, up_to, ref, provisional = false }) {
    if (t === "welcome") [this.#epoch, this.#member] = [epoch, member?.member];
    else if (t === "snapshot") this.#position = offset;
    else if (t === "live") this.#position = up_to;
    else if (t === "pub") this.#position = Math.max(this.#position, offset);
    else if (ref) this.#answered(ref, provisional);
  }

  #answered(ref, provisional) {
    const said = this.#waiting.get(ref) ?? this.#promised.get(ref);
    this.#waiting.delete(ref);
    this.#promised.delete(ref);
    if (provisional && said) this.#promised.set(ref, said);
  }

  #isNew({ from, id }) {
    if (!this.#shown) return true;
    const name = `${from.member} ${id}`;
    if (this.#shown.has(name)) return false;
    this.#shown.add(name);
    return true;
  }

  #asked(url = "") {
    if (this.#shown) return; // on the way already
    this.#shown = new Set();
    setTimeout(() => this.#open(url), Math.random() * SPREAD_MS);
  }

  #open(url) {
    if (this.#over) return;
    const query = new URLSearchParams({ ...this.#lead, epoch: this.#epoch, since: String(this.#position) });
    this.#second = this.#connect(`${url || this.#url}?${query}`, this.#bySession ? [PROTOCOL] : [PROTOCOL, `ticket.${this.#resume}`]);
  }

  #arriving(link, message) {
    if (message.t === "welcome") {
      if (!message.recovered || message.epoch !== this.#epoch || message.member?.member !== this.#member) {
        this.#second = null;
        link.drop();
        return this.hangUp("moved"); // there is nothing to go on from: come back in the usual way
      }
      this.#renew(message.resume);
      link.beat(message.heartbeat_s * 1_000);
    } else if (message.t === "pub") {
      this.#note(message);
      this.#on.received(message);
    } else if (message.t === "live") {
      [this.#first, this.#link, this.#second] = [this.#link, link, null];
      this.#position = Math.max(this.#position, message.up_to);
      this.#until = performance.now() + ANSWERS_MS;
      setTimeout(() => this.#leaveFirst(), LINGER_MS);
    }
  }

  #leaveFirst() {
    if (!this.#first) return;
    if (this.#waiting.size && performance.now() < this.#until) setTimeout(() => this.#leaveFirst(), 50);
    else this.#firstIsGone();
  }

  #firstIsGone() {
    this.#first?.drop();
    this.#first = null;
    this.#link.send({ t: "ack", offset: this.#position }); // this process has not heard of it, and is as far by now
    // Who promised is gone as well. Said to both it is stored once, by its id; what is ephemeral would be shown twice.
    const unanswered = [...this.#promised, ...this.#waiting].filter(([, { link }]) => link !== this.#link);
    for (const [, said] of unanswered.filter(([, { fleeting }]) => !fleeting)) {
      said.link = this.#link;
      this.#link.send(said.text);
    }
    const lost = unanswered.filter(([id, { fleeting }]) => fleeting && this.#waiting.delete(id));
    this.#speak();
    for (const [ref] of lost) this.#on.received({ t: "error", ref, code: "connection_lost", message: "The connection was lost." });
    setTimeout(() => (this.#shown = null), ANSWERS_MS);
  }

  /** Say what was held back, when all that was said before is answered. */
  #speak() {
    if (this.#first && this.#waiting.size) return;
    for (const text of this.#held.splice(0)) this.send(text);
  }

  #closed(link, code, reason) {
    if (link === this.#second) {
      this.#second = null;
      this.#bySession = !link.open && !this.#bySession; // refused or no network: a browser does not tell
      setTimeout(() => this.#open(""), AGAIN_MS * (0.5 + Math.random()));
    } else if (link === this.#first) {
      this.#firstIsGone();
    } else {
      this.drop();
      this.#on.closed(code, reason);
    }
  }
}
