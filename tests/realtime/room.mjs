/** A network without a network for `room.js`: WebSockets that a script answers, and a clock that is turned by hand. */
export const sockets = [];
/** What a test says: `knock(socket)` for each new one, `hear(socket, message)` for what was sent. */
export const server = { knock: (socket) => join(socket), hear: (socket, message) => answer(socket, message) };
let now = 1_000;
let timers = [];
globalThis.WebSocket = class {
  static OPEN = 1;
  readyState = 0;
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    sockets.push(this);
    setTimeout(() => server.knock(this), 50);
  }
  send(text) {
    const message = JSON.parse(text);
    this.sent.push({ at: now, ...message });
    server.hear(this, message);
  }
  close() { this.readyState = 3; }
  accept() { if (this.readyState === 0) [this.readyState] = [1, this.onopen?.()]; }
  end(code) { [this.readyState] = [3, this.onclose?.({ code })]; }
  says(message) { if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(message) }); }
  said(t) { return this.sent.filter((message) => message.t === t); }
};
globalThis.performance = { now: () => now, getEntriesByType: () => [] };
globalThis.setTimeout = (run, ms = 0, ...args) => (timers.push({ run: () => run(...args), at: now + ms }), timers.at(-1));
globalThis.clearTimeout = (timer) => (timers = timers.filter((other) => other !== timer));
globalThis.location = { protocol: "https:", host: "h", pathname: "/weddings/r/" };
globalThis.addEventListener = () => {};
globalThis.document = { addEventListener() {}, visibilityState: "visible" };

const settle = async () => { for (let n = 0; n < 50; n += 1) await null; };
/** Let the time pass. */
export async function turn(ms) {
  const until = now + ms;
  for (;;) {
    await settle();
    const next = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
    if (!next) break;
    timers.splice(timers.indexOf(next), 1);
    now = Math.max(now, next.at) + 0.01; // a clock never stands still between two timers
    next.run();
  }
  now = until;
  await settle();
}

export const me = { member: "m1", role: "planner", name: "Sam" };
export const welcome = (more = {}) => ({ t: "welcome", room: "r", member: me, epoch: "e1", recovered: true, resume: "T1", heartbeat_s: 25, return_ms: 500, ...more });
function join(socket) {
  socket.accept();
  socket.says(welcome());
  socket.says({ t: "live", up_to: 7 });
}
function answer(socket, { t, ref }) { if (t === "ping") socket.says({ t: "pong", ref }); }
