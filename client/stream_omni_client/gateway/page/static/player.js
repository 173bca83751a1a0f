// What is heard: one answer at a time, and how far in it the listener is.

export const RATE_HZ = 24000;

// Events: "progress" {answer, heardMs, level, underruns}, "over" {answer}.
export class Player extends EventTarget {
  constructor() {
    super();
    this.answer = null;
    this.isOver = true;
  }

  // To be called from a click, a key or such: browsers let no page make a sound before.
  async open() {
    if (!this.context) this.ready = this.prepare();
    await this.ready;
    if (this.context.state !== "running") await this.context.resume();
  }

  async prepare() {
    this.context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    await this.context.audioWorklet.addModule(new URL("playback_worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => this.progress(data);
    this.node.connect(this.context.destination);
    for (const message of this.early ?? []) this.node.port.postMessage(message);
    this.early = null;
  }

  begin(answer) {
    this.answer = answer;
    this.isOver = false;
    this.isWhole = false;
    this.read = 0;
    this.pushed = 0;
    this.readAt = performance.now();
    this.isPlaying = false;
    this.tell({ kind: "begin", answer });
  }

  push(samples) {
    this.pushed += samples.length;
    this.tell({ kind: "push", samples });
  }

  // All of the answer's sound was pushed.
  end() {
    this.isWhole = true;
    this.tell({ kind: "end" });
    if (!this.pushed) this.finish();
  }

  // Silence, now. Returns how many milliseconds of the answer were heard.
  stop() {
    const heardMs = this.heardMs;
    this.tell({ kind: "cut" });
    this.isOver = true;
    return heardMs;
  }

  get heardMs() {
    if (!this.context || this.answer === null) return 0;
    const sinceMs = this.isPlaying ? performance.now() - this.readAt : 0;
    const latencyMs = (this.context.outputLatency || this.context.baseLatency || 0) * 1000;
    const readMs = (this.read / RATE_HZ) * 1000 + Math.min(sinceMs, 100); // a page that was frozen heard no more
    const soundMs = (this.pushed / RATE_HZ) * 1000;
    return Math.floor(Math.max(0, Math.min(readMs - latencyMs, soundMs)));
  }

  tell(message) {
    if (this.node) this.node.port.postMessage(message);
    else (this.early ??= []).push(message);
  }

  progress(report) {
    if (report.answer !== this.answer || this.isOver) return;
    this.read = report.read;
    this.readAt = performance.now();
    this.isPlaying = report.isPlaying;
    const detail = { answer: this.answer, heardMs: this.heardMs, level: report.level, underruns: report.underruns };
    this.dispatchEvent(new CustomEvent("progress", { detail }));
    if (report.isOver && this.isWhole) this.finish();
  }

  finish() {
    this.isOver = true;
    this.dispatchEvent(new CustomEvent("over", { detail: { answer: this.answer } }));
  }
}
