/**
 * One WebSocket that notices when nobody is there: a handshake without an end, and a silence that is too long. Browsers report
 * neither for minutes. A link lives once; `Room` opens the next one.
 */
const HANDSHAKE_MS = 10_000;
const HELLO_MS = 10_000; // silence allowed until the welcome says the real heartbeat
const PROBE_MS = 5_000; // for an answer when the page has just come back to the foreground
const LATE_MS = 1_500; // a timer this late says that the page slept, not that the server did

/** The close code of a connection that just ends. */
export const ABNORMAL = 1006;

export class Link {
  /** Something arrives at least this often (ms), if only the answer to a ping. */
  heartbeat = HELLO_MS;
  #socket;
  #on;
  #open = false;
  #heard = performance.now();
  #pinged = false;
  #refs = 0;
  #timer = 0;
  #dueAt = Infinity;

  /**
   * @param {string} url @param {string[]} protocols
   * @param {{opened: () => void, received: (message: any) => void, closed: (code: number, reason: string) => void}} on
   *   `closed` is called once, and nothing after it.
   */
  constructor(url, protocols, on) {
    this.#on = on;
    this.#socket = new WebSocket(url, protocols);
    this.#socket.onopen = () => {
      this.#open = true;
      this.#hear();
      on.opened();
    };
    this.#socket.onmessage = ({ data }) => {
      this.#hear();
      on.received(JSON.parse(data));
    };
    this.#socket.onclose = ({ code }) => {
      this.#stopLooking();
      on.closed(code, "");
    };
    this.#arm();
  }

  /** Whether the handshake went through. */
  get open() {
    return this.#open;
  }

  /** @param {string | object} message a JSON text, or what is to be one */
  send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Take the heartbeat the server has announced. @param {number} ms */
  beat(ms) {
    this.heartbeat = ms;
    this.#arm();
  }

  /** Is it still there? Asked when there is a reason to doubt; what does not answer soon is gone. */
  probe() {
    if (this.#open && this.#socket.readyState !== WebSocket.OPEN) return this.hangUp("the connection was closed meanwhile");
    this.#ping();
    this.#heard = performance.now() - this.heartbeat + Math.min(this.heartbeat / 2, PROBE_MS);
    this.#arm();
  }

  /** End now, whatever becomes of the socket: on a dead network its own end takes minutes. @param {string} reason */
  hangUp(reason) {
    this.drop();
    this.#on.closed(ABNORMAL, reason);
  }

  /** The same without a word. */
  drop() {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#stopLooking();
  }

  #stopLooking() {
    clearTimeout(this.#timer);
    this.#dueAt = -Infinity;
  }

  #hear() {
    this.#heard = performance.now();
    this.#pinged = false;
  }

  #ping() {
    this.#pinged = true;
    this.send({ t: "ping", ref: ++this.#refs });
  }

  #due() {
    if (!this.#open) return this.#heard + HANDSHAKE_MS;
    return this.#heard + (this.#pinged ? this.heartbeat : this.heartbeat / 2);
  }

  /** Look no later than something is due. What is heard meanwhile only makes that look harmless, so it needs no new timer. */
  #arm() {
    const at = this.#due();
    if (at >= this.#dueAt || this.#dueAt === -Infinity) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, at - performance.now()));
  }

  #look() {
    const now = performance.now();
    // What was said while the page slept may not have been heard yet: ask again instead of judging.
    const late = now - this.#dueAt > LATE_MS;
    const idle = now - this.#heard;
    this.#dueAt = Infinity;
    if (!this.#open) {
      if (idle >= HANDSHAKE_MS) return this.hangUp("no answer");
    } else if (idle >= this.heartbeat && this.#pinged && !late) {
      return this.hangUp("nothing was heard from the server");
    } else if (idle >= this.heartbeat / 2 && (late || !this.#pinged)) {
      this.#ping();
      this.#heard = Math.max(this.#heard, now - this.heartbeat / 2); // the answer gets its time
    }
    this.#arm();
  }
}
