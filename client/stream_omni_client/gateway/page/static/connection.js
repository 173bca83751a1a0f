// The WebSocket: opens it, opens it again when it breaks, and keeps what is said meanwhile.

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8000;
const MOST_KEPT = 2000; // events, which is more than a minute of sound
const SLEEPS = new Set(["session_idle", "session_expired"]);
const REFUSES = new Set(["invalid_api_key", "origin_not_allowed", "model_not_found"]);

// States: connecting, open, waiting (for the next try), asleep (until something is sent), refused (until told to open).
export class Connection extends EventTarget {
  constructor(address) {
    super();
    this.address = address;
    this.key = null;
    this.state = "asleep";
    this.kept = [];
    this.retryMs = FIRST_RETRY_MS;
    this.ending = null; // the code of the error that the server ended the last connection with
    addEventListener("online", () => this.state === "waiting" && this.open());
  }

  open() {
    clearTimeout(this.timer);
    this.socket?.close();
    this.ending = null;
    const protocols = ["realtime", ...(this.key ? [`openai-insecure-api-key.${this.key}`] : [])];
    const socket = new WebSocket(this.address, protocols);
    this.socket = socket;
    this.change("connecting");
    socket.onmessage = ({ data }) => socket === this.socket && this.receive(JSON.parse(data));
    socket.onclose = () => socket === this.socket && this.lost();
  }

  // `firstly`: what a new session must know before anything that was kept is sent to it.
  begin(firstly) {
    for (const event of [...firstly, ...this.kept.splice(0)]) this.socket.send(JSON.stringify(event));
    this.retryMs = FIRST_RETRY_MS;
    this.change("open");
  }

  send(event) {
    if (this.state === "open" && this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(event));
      return;
    }
    if (this.kept.length < MOST_KEPT) this.kept.push(event);
    if (this.state === "asleep") this.open();
  }

  // What was kept of a question that will not be asked any more.
  drop(types) {
    this.kept = this.kept.filter((event) => !types.includes(event.type));
  }

  receive(event) {
    if (event.type === "error" && (SLEEPS.has(event.error.code) || REFUSES.has(event.error.code))) {
      this.ending = event.error.code;
    }
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
  }

  lost() {
    const wasOpen = this.state === "open";
    if (SLEEPS.has(this.ending)) {
      this.change("asleep", wasOpen);
    } else if (REFUSES.has(this.ending)) {
      this.change("refused", wasOpen);
    } else {
      this.change("waiting", wasOpen);
      this.timer = setTimeout(() => this.open(), this.retryMs * (0.75 + Math.random() / 2));
      this.retryMs = Math.min(this.retryMs * 2, LONGEST_RETRY_MS);
    }
  }

  change(state, wasOpen = false) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, wasOpen, code: this.ending } }));
  }
}
