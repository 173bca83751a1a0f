// The microphone: asked for when it is first needed, given back when nobody is to be heard.

export class MicrophoneError extends Error {}

const REASONS = {
  NotAllowedError: "The microphone is blocked. Allow it for this page (beside the address), then try again.",
  NotFoundError: "No microphone was found. Plug one in, or type your question.",
  NotReadableError: "The microphone is taken by another program. Close it there, then try again.",
};

export class Microphone {
  // `hear(piece, level)`: 16-bit samples at 24 kHz, and their loudness, 0 to 1.
  constructor(hear) {
    this.hear = hear;
    this.isOpen = false;
  }

  // Raises MicrophoneError with a sentence for people.
  async open(isRaw) {
    clearTimeout(this.closing);
    if (this.isOpen && this.isRaw === isRaw) return;
    this.close();
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new MicrophoneError("Browsers lend the microphone to pages on https:// or localhost only. Typing works.");
    }
    const cleaned = !isRaw;
    const audio = { channelCount: 1, echoCancellation: cleaned, noiseSuppression: cleaned, autoGainControl: cleaned };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new MicrophoneError(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}.`);
    }
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule(new URL("capture_worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.isOpen && this.hear(data.piece, data.level);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    await this.context.resume();
    this.stream.getAudioTracks()[0].addEventListener("ended", () => this.onlost?.());
    this.isOpen = true;
    this.isRaw = isRaw;
  }

  closeAfter(milliseconds) {
    clearTimeout(this.closing);
    this.closing = setTimeout(() => this.close(), milliseconds);
  }

  close() {
    clearTimeout(this.closing);
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}
