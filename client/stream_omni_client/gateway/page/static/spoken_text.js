// An answer's text that lights up as it is spoken. Places are counted in characters (code points), as marks count them.

export class SpokenText {
  constructor(element) {
    this.element = element;
    this.coming = document.createElement("span");
    this.coming.className = "coming";
    element.append(this.coming);
    this.characters = []; // of the whole text
    this.lit = 0; // how many of them
    this.marks = []; // [begin, end, start_ms], in time's order
    this.passed = 0; // marks
  }

  get text() {
    return this.characters.join("");
  }

  get litText() {
    return this.characters.slice(0, this.lit).join("");
  }

  get edge() {
    return this.coming.previousElementSibling;
  }

  add(delta) {
    this.characters.push(...delta);
    this.coming.textContent += delta;
  }

  addMarks(marks) {
    this.marks.push(...marks);
  }

  // What begins to be spoken before this moment of the answer's sound is lit.
  lightUntil(heardMs) {
    let end = this.lit;
    while (this.passed < this.marks.length && this.marks[this.passed][2] <= heardMs) {
      end = Math.max(end, this.marks[this.passed++][1]);
    }
    this.light(end);
  }

  lightAll() {
    this.light(this.characters.length);
  }

  light(end) {
    if (end <= this.lit) return;
    const spoken = document.createElement("span");
    spoken.className = "spoken";
    spoken.textContent = this.characters.slice(this.lit, end).join("");
    this.lit = Math.min(end, this.characters.length);
    this.coming.before(spoken);
    this.coming.textContent = this.characters.slice(this.lit).join("");
  }
}
