// Plays what comes through its port without a gap: a ring of samples, filled ahead of what is heard.

const START_S = 0.12; // of sound before the first of it is played, unless all of it is there
const RESTART_S = 0.25; // and after a gap
const FADE = 128; // samples, where sound is cut off or begins again, so that nothing clicks
const REPORT_S = 0.02;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Int16Array(1 << 21); // 87 s at 24 kHz; grows where an answer is longer
    this.empty();
    this.port.onmessage = ({ data }) => this[data.kind](data);
  }

  empty() {
    this.written = this.read = 0; // samples since the answer's beginning
    this.isPlaying = this.isWhole = this.wasTold = false;
    this.needed = START_S * sampleRate;
    this.underruns = 0;
    this.gain = 1;
    this.reported = 0;
    this.level = 0;
  }

  begin({ answer }) {
    this.cut();
    this.empty();
    this.answer = answer;
  }

  push({ samples }) {
    while (this.written - this.read + samples.length > this.ring.length) this.grow();
    const start = this.written % this.ring.length;
    const first = samples.subarray(0, this.ring.length - start);
    this.ring.set(first, start);
    this.ring.set(samples.subarray(first.length), 0);
    this.written += samples.length;
  }

  end() {
    this.isWhole = true;
  }

  // What is heard stops now, with a short fade of what would have come.
  cut() {
    if (this.isPlaying) {
      const length = Math.min(FADE, this.written - this.read);
      this.tail = Float32Array.from({ length }, (_, n) => (this.sample(this.read + n) * (length - n)) / length);
    }
    this.isPlaying = false;
    this.read = this.written;
    this.isWhole = true;
    this.wasTold = true;
  }

  grow() {
    const ring = new Int16Array(this.ring.length * 2);
    for (let n = this.read; n < this.written; n++) ring[n % ring.length] = this.ring[n % this.ring.length];
    this.ring = ring;
  }

  sample(n) {
    return this.ring[n % this.ring.length] / 32768;
  }

  process(_, outputs) {
    const [out] = outputs[0];
    const ready = this.written - this.read;
    if (!this.isPlaying && ready > 0 && (ready >= this.needed || this.isWhole)) this.start();
    if (this.tail) {
      out.set(this.tail.subarray(0, out.length));
      this.tail = this.tail.length > out.length ? this.tail.subarray(out.length) : null;
    } else if (this.isPlaying) {
      this.play(out);
    }
    if (currentTime - this.reported >= REPORT_S) this.report();
    return true;
  }

  start() {
    this.isPlaying = true;
    this.gain = this.read > 0 ? 0 : 1; // an answer's own beginning is not touched
  }

  play(out) {
    const count = Math.min(out.length, this.written - this.read);
    let energy = 0;
    for (let n = 0; n < count; n++) {
      if (this.gain < 1) this.gain = Math.min(1, this.gain + 1 / FADE);
      out[n] = this.sample(this.read + n) * this.gain;
      energy += out[n] * out[n];
    }
    this.read += count;
    this.level = Math.sqrt(energy / out.length);
    if (count === out.length) return;
    this.isPlaying = false; // all of it was heard, or what comes next is late
    if (!this.isWhole) {
      this.needed = RESTART_S * sampleRate;
      this.underruns += 1;
    }
  }

  report() {
    this.reported = currentTime;
    const isOver = this.isWhole && this.read === this.written;
    if (isOver && this.wasTold) return;
    this.wasTold = isOver;
    const { answer, read, underruns, isPlaying, level } = this;
    this.port.postMessage({ answer, read, underruns, isPlaying, isOver, level: isPlaying ? level : 0 });
  }
}

registerProcessor("playback", Playback);
