// The microphone's sound at whatever rate it has, as 16-bit samples at 24 kHz, in pieces of 40 ms.

const RATE_HZ = 24000;
const PIECE = 960;
const REACH = 16; // input samples to either side, at the lower of the two rates
const PHASES = 128;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE_HZ;
    const slower = Math.max(1, this.step);
    this.reach = Math.ceil(REACH * slower);
    this.kernel = makeKernel(this.reach, slower);
    this.held = new Float32Array(0);
    this.position = 0; // of the next output sample, in input samples of `held`
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.energy = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    if (channels.length) this.take(channels);
    return true;
  }

  take(channels) {
    const length = channels[0].length;
    const held = new Float32Array(this.held.length + length);
    held.set(this.held);
    for (const channel of channels) {
      for (let n = 0; n < length; n++) held[this.held.length + n] += channel[n] / channels.length;
    }
    const last = held.length - this.reach - 1;
    while (this.position < last) {
      this.put(this.interpolate(held, this.position));
      this.position += this.step;
    }
    const used = Math.max(0, Math.floor(this.position) - this.reach);
    this.held = held.slice(used);
    this.position -= used;
  }

  interpolate(held, position) {
    const whole = Math.floor(position);
    const phase = Math.round((position - whole) * PHASES);
    const weights = this.kernel[phase];
    const first = whole - this.reach + 1;
    let sum = 0;
    for (let n = Math.max(0, -first); n < weights.length; n++) sum += weights[n] * held[first + n];
    return sum;
  }

  put(sample) {
    this.energy += sample * sample;
    this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    if (this.filled < PIECE) return;
    const level = Math.sqrt(this.energy / PIECE);
    this.port.postMessage({ piece: this.piece, level }, [this.piece.buffer]);
    this.piece = new Int16Array(PIECE);
    this.filled = 0;
    this.energy = 0;
  }
}

// A windowed sinc for each of PHASES places between two input samples.
function makeKernel(reach, slower) {
  const kernel = [];
  for (let phase = 0; phase <= PHASES; phase++) {
    const weights = new Float32Array(2 * reach);
    let sum = 0;
    for (let n = 0; n < weights.length; n++) {
      const distance = n - reach + 1 - phase / PHASES;
      const angle = (Math.PI * distance * 0.94) / slower;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / (reach + 1));
      weights[n] = (angle === 0 ? 1 : Math.sin(angle) / angle) * window;
      sum += weights[n];
    }
    kernel.push(weights.map((weight) => weight / sum));
  }
  return kernel;
}

registerProcessor("capture", Capture);
