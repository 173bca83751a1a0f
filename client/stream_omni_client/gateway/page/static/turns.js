// The conversation on the page: what the user said and showed, and the answers.

import { SpokenText } from "./spoken_text.js";

const SCALE_MS = 3000; // the latency strip's width, until something takes longer
const READING_HEIGHT = 0.55; // of the visible part: where the line that is being spoken stands at the lowest

export class Turns {
  constructor({ list, scroller, empty, latest }) {
    Object.assign(this, { list, scroller, empty, latest });
    this.follows = true;
    this.top = 0;
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    latest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.keepUp()).observe(list);
    new ResizeObserver(() => this.keepUp()).observe(scroller);
  }

  clear() {
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  add(turn) {
    this.empty.hidden = true;
    this.list.append(turn.element);
    this.keepUp();
  }

  // The reader has scrolled: away from what is new, or back to it.
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 80;
    if (isAtEnd) this.follows = true;
    else if (scrollTop < this.top - 2) this.follows = false;
    this.top = scrollTop;
    this.latest.hidden = this.follows || isAtEnd;
  }

  keepUp() {
    if (!this.follows) {
      this.look();
      return;
    }
    const { scrollHeight, clientHeight } = this.scroller;
    const spoken = (this.answer?.spokenBottom ?? Infinity) - this.list.getBoundingClientRect().top;
    const wanted = Math.min(scrollHeight - clientHeight, Math.max(0, spoken - clientHeight * READING_HEIGHT));
    this.scroller.scrollTop = wanted;
    this.top = this.scroller.scrollTop;
  }

  // Keep in sight what is being spoken of this answer; null: what is newest.
  follow(answer) {
    this.answer = answer;
    this.keepUp();
  }

  toEnd() {
    this.follows = true;
    this.latest.hidden = true;
    this.keepUp();
  }
}

export class UserTurn {
  constructor() {
    this.element = make("li", "turn user");
    this.pictures = make("div", "shown");
    this.said = make("p", "said");
    this.said.dir = "auto";
    this.said.hidden = true;
    this.element.append(make("span", "hidden", "You: "), this.pictures, this.said);
    this.words = "";
  }

  show(address) {
    const picture = new Image();
    picture.src = address;
    picture.alt = "A picture that you showed";
    this.pictures.append(picture);
  }

  write(text) {
    this.words = text;
    this.said.hidden = false;
    this.said.classList.remove("unsure");
    this.said.replaceChildren(text);
  }

  // Words are on their way.
  wait() {
    this.said.hidden = false;
    this.said.replaceChildren(dots("listening"));
  }

  // What a session that has to be told of it is told: {role, type, text}.
  get remembered() {
    return { role: "user", type: "input_text", text: this.words };
  }

  hear(delta) {
    this.write(this.words + delta);
  }

  understand(transcript) {
    if (transcript) this.write(transcript);
    else this.unsure("nothing was understood");
  }

  unsure(text) {
    this.said.hidden = false;
    this.said.classList.add("unsure");
    this.said.replaceChildren(text);
  }
}

export class AnswerTurn {
  // `askedAt`: when the question ended, of performance.now().
  constructor(askedAt) {
    this.askedAt = askedAt;
    this.element = make("li", "turn assistant");
    this.answer = make("p", "answer");
    this.answer.dir = "auto";
    this.note = make("p", "note");
    this.note.hidden = true;
    this.latency = new LatencyStrip();
    this.waiting = dots("thinking");
    this.element.append(make("span", "hidden", "Answer: "), this.answer, this.note, this.latency.element);
    this.answer.append(this.waiting);
    this.isSpoken = true;
    this.isOver = false;
  }

  get text() {
    return this.spoken?.text ?? "";
  }

  // As far as it was heard, or read.
  get remembered() {
    const text = this.wasCut && this.isSpoken ? (this.spoken?.litText ?? "") : this.text;
    return { role: "assistant", type: "output_text", text };
  }

  add(delta) {
    if (!this.spoken) {
      this.waiting.remove();
      this.spoken = new SpokenText(this.answer);
      this.first("text");
    }
    this.spoken.add(delta);
    if (!this.isSpoken) this.spoken.lightAll();
  }

  // Where in the window the line is that is being spoken; null once nothing more will be.
  get spokenBottom() {
    if (this.isOver || !this.isSpoken || !this.spoken) return null;
    return this.spoken.edge?.getBoundingClientRect().bottom ?? this.answer.getBoundingClientRect().top;
  }

  first(kind) {
    this.latency.add(kind, performance.now() - this.askedAt);
  }

  progress(heardMs) {
    if (heardMs > 0) this.first("sound");
    this.spoken?.lightUntil(heardMs);
  }

  finish() {
    this.isOver = true;
    this.waiting.remove();
    this.spoken?.lightAll();
    this.element.classList.add("over");
    if (!this.text) this.tell("There was no answer in words.");
  }

  cut(note) {
    this.isOver = this.wasCut = true;
    this.waiting.remove();
    this.element.classList.add("over");
    this.tell(note);
  }

  fail(message, retry) {
    this.cut(message);
    this.note.classList.add("failed");
    const again = make("button", "plain", "Try again");
    again.type = "button";
    again.addEventListener("click", () => {
      again.remove();
      retry();
    });
    this.note.append(" ", again);
  }

  tell(text) {
    this.note.hidden = false;
    this.note.replaceChildren(text);
  }
}

// When the first of each kind came, on a line of time.
class LatencyStrip {
  constructor() {
    this.element = make("div", "latency");
    this.element.hidden = true;
    this.line = make("div", "line");
    this.line.setAttribute("aria-hidden", "true");
    this.numbers = make("dl");
    this.element.append(this.line, this.numbers);
    this.times = new Map();
  }

  add(kind, milliseconds) {
    if (this.times.has(kind)) return;
    this.times.set(kind, { milliseconds, point: this.line.appendChild(make("i")) });
    const entry = make("div");
    entry.append(make("dt", "", NAMES[kind]), make("dd", "", `${(milliseconds / 1000).toFixed(2)} s`));
    this.numbers.append(entry);
    this.element.hidden = false;
    const whole = Math.max(SCALE_MS, ...[...this.times.values()].map((time) => time.milliseconds)) * 1.02;
    for (const time of this.times.values()) time.point.style.left = `${(time.milliseconds / whole) * 100}%`;
  }
}

const NAMES = { transcript: "understood", text: "text", sound: "sound" };

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function dots(meaning) {
  const element = make("span", "dots");
  element.append(make("i"), make("i"), make("i"), make("span", "hidden", meaning));
  return element;
}
