// What the user has chosen, kept in this browser.

export class Settings {
  constructor(changed) {
    this.changed = changed;
    this.kept = JSON.parse(localStorage.getItem("settings") ?? "{}");
    this.dialog = document.querySelector("#settings");
    this.fields = {
      voice: document.querySelector("#voice"),
      instructions: document.querySelector("#instructions"),
      pause: document.querySelector("#pause"),
      headphones: document.querySelector("#headphones"),
    };
    this.show();
    document.querySelector("#open-settings").addEventListener("click", () => this.dialog.showModal());
    this.fields.pause.addEventListener("input", () => this.showPause());
    this.dialog.addEventListener("close", () => this.keep());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  get voice() {
    return this.kept.voice && this.voices?.includes(this.kept.voice) ? this.kept.voice : "default";
  }

  get answers() {
    return this.kept.answers ?? "audio";
  }

  get instructions() {
    return this.kept.instructions ?? "";
  }

  get pauseMs() {
    return Number(this.kept.pause ?? 500);
  }

  get headphones() {
    return this.kept.headphones ?? false;
  }

  showVoices(voices) {
    this.voices = voices;
    this.fields.voice.replaceChildren(...voices.map((voice) => new Option(voice, voice)));
    this.fields.voice.value = this.voice;
  }

  show() {
    this.fields.instructions.value = this.instructions;
    this.fields.pause.value = this.pauseMs;
    this.fields.headphones.checked = this.headphones;
    this.dialog.querySelector(`[name="answers"][value="${this.answers}"]`).checked = true;
    this.showPause();
  }

  showPause() {
    document.querySelector("#pause-value").value = `${(this.fields.pause.value / 1000).toFixed(1)} s`;
  }

  keep() {
    this.kept = {
      voice: this.fields.voice.value,
      answers: this.dialog.querySelector('[name="answers"]:checked').value,
      instructions: this.fields.instructions.value.trim(),
      pause: this.fields.pause.value,
      headphones: this.fields.headphones.checked,
    };
    localStorage.setItem("settings", JSON.stringify(this.kept));
    this.changed();
  }
}
