// The page's buttons, keys, files and messages.

import { picturesOf, PictureError, takePicture } from "./pictures.js";

const TAP_MS = 300; // shorter is a tap, which goes on until the next one; longer is a hold
const CONNECTION = {
  connecting: "Connecting",
  open: "Connected",
  waiting: "No connection",
  asleep: "Resting",
  refused: "Not let in",
};

const find = (id) => document.getElementById(id);

export class Controls {
  constructor(app) {
    this.app = app;
    this.talk = find("talk");
    this.level = find("level");
    this.text = find("text");
    this.phase = "idle";
    this.forTurns = {
      list: find("turns"),
      scroller: find("conversation"),
      empty: find("empty"),
      latest: find("latest"),
    };
    this.bindTalk();
    this.bindKeys();
    this.bindWriting();
    this.bindPictures();
    for (const choice of document.querySelectorAll('[name="mode"]')) {
      choice.addEventListener("change", () => this.modeChanged());
    }
    find("notice-close").addEventListener("click", () => this.unnotice());
    find("new-conversation").addEventListener("click", () => this.newConversation());
  }

  get mode() {
    return document.querySelector('[name="mode"]:checked').value;
  }

  chooseMode(mode) {
    document.querySelector(`[name="mode"][value="${mode}"]`).checked = true;
    this.modeChanged();
  }

  modeChanged() {
    this.app.changeMode();
  }

  newConversation() {
    this.app.newConversation();
    find("new-conversation").hidden = true;
    this.talk.focus();
  }

  // Hold it while speaking, or tap it at the beginning and at the end. Hands-free, it stops an answer.
  bindTalk() {
    this.talk.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.talk.setPointerCapture(event.pointerId);
      this.press();
    });
    for (const kind of ["pointerup", "pointercancel"]) this.talk.addEventListener(kind, () => this.release());
    this.talk.addEventListener("contextmenu", (event) => event.preventDefault());
    this.talk.addEventListener("click", (event) => {
      if (event.detail === 0 && !this.isHeld) this.tap(); // by a screen reader or such, without any pointer
    });
  }

  press() {
    if (this.isHeld) return;
    this.isHeld = true;
    this.pressedAt = performance.now();
    if (this.mode === "free") {
      this.app.interrupt();
    } else if (this.isTapped) {
      this.isTapped = false;
      this.app.finishRecording();
      this.pressedAt = null; // its release means nothing any more
    } else {
      this.app.startRecording();
    }
  }

  release() {
    if (!this.isHeld) return;
    this.isHeld = false;
    if (this.mode === "free" || this.pressedAt === null) return;
    if (performance.now() - this.pressedAt < TAP_MS) this.isTapped = true;
    else this.app.finishRecording();
    this.showPhase(this.phase);
  }

  recordingEnded() {
    this.isTapped = false;
  }

  tap() {
    this.press();
    this.release();
  }

  bindKeys() {
    const isTalk = (event) => event.code === "Space" || (event.code === "Enter" && event.target === this.talk);
    const isFree = (event) => event.target === document.body || event.target === this.talk || this.isIdle(event.target);
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) this.app.interrupt();
      if (!isTalk(event) || !isFree(event) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      if (!event.repeat) this.press();
    });
    addEventListener("keyup", (event) => {
      if (!isTalk(event) || !this.isHeld) return;
      event.preventDefault();
      this.release();
    });
    addEventListener("blur", () => this.release());
  }

  // Space does nothing else there.
  isIdle(element) {
    return !element.closest("button, input, textarea, select, dialog, label, a, [contenteditable]");
  }

  bindWriting() {
    const form = find("composer");
    const send = find("send");
    this.text.addEventListener("input", () => (send.disabled = !this.text.value.trim()));
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.text.value.trim();
      if (!text) return;
      this.text.value = "";
      send.disabled = true;
      this.app.write(text);
    });
  }

  bindPictures() {
    const choose = find("choose");
    const drop = find("drop");
    choose.addEventListener("change", () => {
      this.app.show([...choose.files]);
      choose.value = "";
    });
    find("open-camera").addEventListener("click", () => this.useCamera());
    addEventListener("paste", (event) => {
      const pictures = picturesOf(event.clipboardData);
      if (pictures.length) event.preventDefault();
      this.app.show(pictures);
    });
    addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      drop.hidden = false;
    });
    addEventListener("dragleave", (event) => event.relatedTarget || (drop.hidden = true));
    addEventListener("drop", (event) => {
      event.preventDefault();
      drop.hidden = true;
      const pictures = picturesOf(event.dataTransfer);
      if (pictures.length) this.app.show(pictures);
      else this.notice("That is no picture. JPEG, PNG and WebP files are.");
    });
  }

  async useCamera() {
    try {
      const address = await takePicture(find("camera"));
      if (address) this.app.showAddress(address);
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      this.notice(error.message);
    }
  }

  showPictures(pictures) {
    find("pictures").replaceChildren(
      ...pictures.map((picture, n) => {
        const entry = document.createElement("li");
        const image = new Image();
        image.src = picture.address;
        image.alt = `Picture ${n + 1} for your next question`;
        const remove = document.createElement("button");
        remove.type = "button";
        remove.append(find("notice-close").querySelector("svg").cloneNode(true));
        remove.setAttribute("aria-label", `Remove picture ${n + 1}`);
        remove.addEventListener("click", () => {
          this.app.hide(picture);
          (find("pictures").querySelector("button") ?? find("open-camera")).focus();
        });
        entry.append(image, remove);
        return entry;
      }),
    );
  }

  askForKey(use) {
    const dialog = find("access");
    const key = find("key");
    find("access-form").onsubmit = () => use(key.value.trim());
    dialog.showModal();
  }

  showConnection(state) {
    find("connection").dataset.state = state;
    find("connection-text").textContent = CONNECTION[state];
  }

  showPhase(phase, isListening = this.isListening) {
    this.phase = phase;
    this.isListening = isListening;
    this.talk.dataset.phase = phase;
    const isFree = this.mode === "free";
    const canStop = (isFree && phase !== "idle" && phase !== "listening") || (phase === "listening" && this.isTapped);
    find("talk-icon").setAttribute("href", canStop ? "#icon-stop" : "#icon-mic");
    find("status").textContent = this.describe(phase, isFree);
    find("talk-label").textContent = this.label(phase, isFree);
    this.level.classList.toggle("live", isListening);
    if (phase !== "idle") find("new-conversation").hidden = false;
  }

  describe(phase, isFree) {
    if (phase === "waiting") return "Thinking …";
    if (phase === "speaking") return isFree ? "Speak to interrupt" : "Hold to interrupt";
    if (phase === "listening") return isFree ? "I hear you" : this.isTapped ? "Tap to send" : "Let go to send";
    return isFree ? "Listening: just speak" : "Hold to talk";
  }

  label(phase, isFree) {
    if (isFree) return phase === "idle" ? "Listening" : "Stop the answer";
    return phase === "listening" ? "Send what was said" : "Talk";
  }

  showLevel(level) {
    const loudness = Math.min(1, Math.sqrt(level) * 1.6); // as loud as it seems
    this.level.style.setProperty("--loudness", loudness.toFixed(3));
    this.level.setAttribute("aria-valuenow", Math.round(loudness * 100));
    if (this.phase === "listening") this.talk.style.setProperty("--loudness", loudness.toFixed(3));
  }

  showOutputLevel(level) {
    if (this.phase === "speaking") this.talk.style.setProperty("--loudness", Math.min(1, Math.sqrt(level) * 1.6).toFixed(3));
  }

  notice(text, action = null) {
    find("notice-text").textContent = text;
    find("notice").hidden = false;
    const button = find("notice-action");
    button.hidden = !action;
    if (action) {
      button.textContent = action.label;
      button.onclick = action.act;
    }
  }

  unnotice() {
    find("notice").hidden = true;
  }

  showImprint(text) {
    find("imprint").textContent = text ?? "";
    find("imprint").hidden = !text;
  }

  // Questions, each of which can be taken as what is typed.
  showExamples(questions) {
    find("examples").hidden = questions.length === 0;
    find("examples").querySelector("ul").replaceChildren(...questions.map((question) => {
      const [item, button] = ["li", "button"].map((name) => document.createElement(name));
      button.type = "button";
      button.textContent = question;
      button.addEventListener("click", () => this.propose(question));
      item.append(button);
      return item;
    }));
  }

  propose(question) {
    this.text.value = question;
    this.text.dispatchEvent(new Event("input"));
    this.text.focus();
  }

  // To who does not see it.
  announce(text) {
    find("announce").textContent = text;
  }
}
