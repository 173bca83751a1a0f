// The page as a whole: what the user does becomes events, and the server's events become what is seen and heard.

import { decodeSamples, encodeSamples } from "./base64.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { MOST_PICTURES, PictureError, shrink } from "./pictures.js";
import { Player } from "./player.js";
import { Settings } from "./settings.js";
import { AnswerTurn, Turns, UserTurn } from "./turns.js";

const LONGEST_QUESTION_MS = 29500; // the server takes 30 s
const SHORTEST_QUESTION_MS = 250;
const SOUND_UNDER_WAY_MS = 120; // between the lips and the last piece of what was said
const BEFOREHAND = 5; // pieces of 40 ms from before the button was down: fingers are later than tongues
const MICROPHONE_RESTS_MS = 20000; // after a question, so that the next one begins without delay

class App {
  constructor() {
    this.controls = new Controls(this);
    this.settings = new Settings(() => this.setUp());
    this.turns = new Turns(this.controls.forTurns);
    this.player = new Player();
    this.microphone = new Microphone((piece, level) => this.hear(piece, level));
    this.microphone.onlost = () => this.microphoneLost();
    const address = new URL("/v1/realtime", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.connection = new Connection(address);
    this.connection.key = sessionStorage.getItem("key");
    this.reset();
    this.connection.addEventListener("state", ({ detail }) => this.connectionChanged(detail));
    this.connection.addEventListener("event", ({ detail }) => this.receive(detail));
    this.player.addEventListener("progress", ({ detail }) => this.progress(detail));
    this.player.addEventListener("over", () => this.heardAll());
    this.connection.open();
  }

  reset() {
    this.users = new Map(); // turns of the user by item id
    this.answers = new Map(); // answers by response id
    this.said = []; // turns in their order, to be told to a new session
    this.pictures = []; // for the next question: {id, address}
    this.playing = null; // the answer that is or will be heard
    this.current = null; // the response that is being made
    this.isRecording = this.isSpeaking = false; // the user: holds the button; is heard to speak
    this.beforehand = [];
    this.askedAt = performance.now();
  }

  // The connection

  connectionChanged({ state, wasOpen, code }) {
    this.controls.showConnection(state);
    if (state === "refused") {
      if (code === "invalid_api_key") this.controls.askForKey((key) => this.useKey(key));
      return;
    }
    if (!wasOpen) return;
    if (state === "waiting") this.controls.notice("The connection was lost. Connecting again …");
    if (this.current) this.current.fail("The connection was lost before the answer was whole.", () => this.askAgain());
    this.forgetAnswer();
    if (this.isRecording) {
      this.stopRecording();
      this.connection.drop(["input_audio_buffer.append"]);
      this.controls.notice("The connection was lost while you spoke. Please say it again.");
    }
  }

  useKey(key) {
    sessionStorage.setItem("key", key);
    this.connection.key = key;
    this.connection.open();
  }

  // A new session knows nothing: it is set up, and told what was said so far.
  begin(session) {
    this.settings.showVoices(session.voices ?? ["default"]);
    this.controls.showImprint(session.notice);
    this.controls.showExamples(session.examples ?? []);
    const told = this.said.map((turn) => turn.remembered).filter(({ text }) => text.trim());
    const items = told.map(({ role, type, text }) => ({ type: "message", role, content: [{ type, text }] }));
    const shown = this.pictures.map(({ id, address }) => pictureItem(id, address));
    const created = [...items, ...shown].map((item) => ({ type: "conversation.item.create", item }));
    this.connection.begin([this.sessionUpdate(), ...created]);
    this.controls.unnotice();
  }

  setUp() {
    if (this.connection.state === "open") this.connection.send(this.sessionUpdate());
  }

  sessionUpdate() {
    const { voice, answers, instructions, pauseMs } = this.settings;
    const detection = { type: "server_vad", silence_duration_ms: pauseMs };
    return {
      type: "session.update",
      session: {
        type: "realtime",
        instructions,
        output_modalities: [answers],
        audio: {
          input: { turn_detection: this.controls.mode === "free" ? detection : null },
          output: { voice },
        },
      },
    };
  }

  receive(event) {
    const handler = this[`on ${event.type}`];
    if (handler) handler.call(this, event);
  }

  "on session.created"({ session }) {
    this.begin(session);
  }

  "on error"({ error }) {
    if (["response_cancel_not_active", "invalid_api_key", "session_idle", "session_expired"].includes(error.code)) return;
    if (error.code === "input_audio_buffer_commit_empty") {
      this.controls.notice("That was too short. Hold the button while you speak.");
      return;
    }
    if (this.current && !error.param) return; // the response itself will tell
    this.controls.notice(sentence(error.message));
  }

  // The user's voice

  async openMicrophone() {
    try {
      await Promise.all([this.microphone.open(this.settings.headphones), this.player.open()]);
      return true;
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.controls.notice(error.message);
      return false;
    }
  }

  async startRecording() {
    if (this.isRecording || this.isOpening) return;
    this.interrupt();
    this.isOpening = this.wantsRecording = true;
    this.showPhase();
    const isOpen = await this.openMicrophone();
    this.isOpening = false;
    if (isOpen && this.wantsRecording) {
      this.isRecording = true;
      this.recordingSince = performance.now();
      this.connection.send({ type: "input_audio_buffer.clear" });
      for (const piece of this.beforehand.splice(0)) this.append(piece);
      this.controls.unnotice();
      this.tooLong = setTimeout(() => this.finishRecording(), LONGEST_QUESTION_MS);
    } else {
      this.controls.recordingEnded();
      if (isOpen) this.controls.notice("The microphone is ready. Hold the button while you speak.");
    }
    this.showPhase();
  }

  finishRecording() {
    this.wantsRecording = false;
    if (!this.isRecording) return;
    if (performance.now() - this.recordingSince < SHORTEST_QUESTION_MS) {
      this.stopRecording();
      this.controls.notice("That was too short. Hold the button while you speak.");
      return;
    }
    clearTimeout(this.tooLong);
    const endedAt = performance.now();
    this.isAsking = true;
    setTimeout(() => {
      if (!this.isRecording) return; // the connection was lost meanwhile
      this.stopRecording();
      this.connection.send({ type: "input_audio_buffer.commit" });
      this.ask(endedAt);
    }, SOUND_UNDER_WAY_MS);
  }

  stopRecording() {
    clearTimeout(this.tooLong);
    this.isRecording = this.wantsRecording = false;
    this.controls.recordingEnded();
    this.microphone.closeAfter(MICROPHONE_RESTS_MS);
    this.controls.showLevel(0);
    this.showPhase();
  }

  hear(piece, level) {
    if (this.isRecording || this.controls.mode === "free") {
      this.controls.showLevel(level);
      this.append(piece);
    } else {
      this.beforehand.push(piece);
      if (this.beforehand.length > BEFOREHAND) this.beforehand.shift();
    }
  }

  append(piece) {
    this.connection.send({ type: "input_audio_buffer.append", audio: encodeSamples(piece) });
  }

  microphoneLost() {
    this.controls.notice("The microphone is gone. Plug it in again, or type.");
    if (this.controls.mode === "free") this.controls.chooseMode("press");
    else this.stopRecording();
  }

  // Hands-free, everything that the microphone hears goes to the server, which knows when somebody speaks.
  async changeMode() {
    this.isSpeaking = false;
    this.stopRecording();
    this.setUp();
    this.connection.send({ type: "input_audio_buffer.clear" });
    if (this.controls.mode === "free" && !(await this.openMicrophone())) this.controls.chooseMode("press");
    this.showPhase();
  }

  "on input_audio_buffer.speech_started"({ item_id }) {
    this.isSpeaking = true;
    this.stopHearing("You spoke, so it stopped there.");
    const turn = this.userTurn(item_id);
    turn.wait();
    this.showPhase();
  }

  "on input_audio_buffer.speech_stopped"() {
    this.isSpeaking = false;
    this.askedAt = performance.now();
    this.showPhase();
  }

  "on conversation.item.added"({ item }) {
    if (item.role !== "user" || this.users.has(item.id)) return;
    if (item.content.some((part) => part.type === "input_audio")) this.userTurn(item.id).wait();
  }

  "on conversation.item.input_audio_transcription.delta"({ item_id, delta }) {
    this.understood();
    this.users.get(item_id)?.hear(delta);
  }

  "on conversation.item.input_audio_transcription.completed"({ item_id, transcript }) {
    this.understood();
    this.users.get(item_id)?.understand(transcript);
    this.controls.announce(transcript ? `You said: ${transcript}` : "Nothing was understood.");
  }

  "on conversation.item.input_audio_transcription.failed"({ item_id }) {
    this.users.get(item_id)?.unsure("this could not be understood");
  }

  understood() {
    this.current?.first("transcript");
  }

  // A turn of the user, with the pictures that were shown since the last one.
  userTurn(id) {
    const known = this.users.get(id);
    if (known) return known;
    const turn = new UserTurn();
    for (const picture of this.pictures.splice(0)) turn.show(picture.address);
    this.controls.showPictures(this.pictures);
    this.users.set(id, turn);
    this.said.push(turn);
    this.turns.add(turn);
    this.turns.toEnd();
    return turn;
  }

  // Written questions

  async write(text) {
    await this.player.open();
    this.interrupt();
    const id = newId();
    this.userTurn(id).write(text);
    const item = { id, type: "message", role: "user", content: [{ type: "input_text", text }] };
    this.connection.send({ type: "conversation.item.create", item });
    this.ask();
  }

  ask(endedAt = performance.now()) {
    this.askedAt = endedAt;
    this.isAsking = true;
    this.connection.send({ type: "response.create" });
    this.showPhase();
  }

  askAgain() {
    this.interrupt();
    this.ask();
  }

  // Pictures

  async show(sources) {
    for (const source of sources) {
      if (this.pictures.length >= MOST_PICTURES) {
        this.controls.notice(`A question takes ${MOST_PICTURES} pictures at the most.`);
        return;
      }
      try {
        this.showAddress(await shrink(source));
      } catch (error) {
        if (!(error instanceof PictureError)) throw error;
        this.controls.notice(error.message);
      }
    }
  }

  // It travels at once, while the question is still being thought of.
  showAddress(address) {
    const picture = { id: newId(), address };
    this.pictures.push(picture);
    this.controls.showPictures(this.pictures);
    if (this.connection.state === "open") {
      this.connection.send({ type: "conversation.item.create", item: pictureItem(picture.id, address) });
    }
  }

  hide(picture) {
    this.pictures = this.pictures.filter((other) => other !== picture);
    this.controls.showPictures(this.pictures);
    if (this.connection.state === "open") {
      this.connection.send({ type: "conversation.item.delete", item_id: picture.id });
    }
  }

  // Answers

  "on response.created"({ response }) {
    const turn = new AnswerTurn(this.askedAt);
    turn.isSpoken = response.output_modalities.includes("audio");
    this.isAsking = false;
    this.answers.set(response.id, turn);
    this.said.push(turn);
    this.current = turn;
    this.turns.add(turn);
    this.turns.follow(turn);
    if (turn.isSpoken) {
      this.playing = turn;
      this.player.begin(response.id);
    }
    this.showPhase();
  }

  "on response.output_text.delta"({ response_id, delta }) {
    this.withAnswer(response_id, (turn) => turn.add(delta));
  }

  "on response.output_audio_transcript.delta"({ response_id, delta }) {
    this.withAnswer(response_id, (turn) => turn.add(delta));
  }

  "on response.output_audio.delta"({ response_id, item_id, delta, marks }) {
    this.withAnswer(response_id, (turn) => {
      turn.itemId = item_id;
      turn.spoken?.addMarks(marks ?? []);
      if (turn === this.playing) this.player.push(decodeSamples(delta));
    });
  }

  // Of an answer that was stopped, what is still on its way is not wanted.
  withAnswer(responseId, act) {
    const turn = this.answers.get(responseId);
    if (turn && !turn.isOver) act(turn);
  }

  "on response.done"({ response }) {
    const turn = this.answers.get(response.id);
    if (!turn) return;
    if (turn === this.current) this.current = null;
    if (response.status === "failed") {
      this.failed(turn, response.status_details.error);
    } else if (response.status === "cancelled") {
      if (!turn.isOver) turn.cut("Stopped.");
      if (turn === this.playing) this.forgetAnswer();
    } else if (!turn.isOver) {
      turn.isCut = response.status === "incomplete";
      if (turn === this.playing) this.player.end();
      else this.finish(turn);
    }
    this.showPhase();
  }

  failed(turn, error) {
    if (turn === this.playing) this.forgetAnswer();
    turn.fail(sentence(error?.message ?? "the answer failed"), () => this.askAgain());
    this.controls.announce(`The answer failed: ${error?.message}`);
    if (error?.code === "server_overloaded") {
      this.controls.notice("The server is busy with others. Try again in a moment.");
    }
  }

  finish(turn) {
    turn.finish();
    this.turns.keepUp();
    if (turn.isCut) turn.tell("It reached its limit of length here.");
    if (!turn.isSpoken) this.controls.announce(turn.text);
  }

  progress({ heardMs, level }) {
    this.playing?.progress(heardMs);
    this.turns.keepUp();
    this.controls.showOutputLevel(level);
    this.showPhase();
  }

  heardAll() {
    const turn = this.playing;
    this.playing = null;
    if (turn && !turn.isOver) this.finish(turn);
    this.showPhase();
  }

  forgetAnswer() {
    this.player.stop();
    this.playing = this.current = null;
    this.isAsking = false;
    this.showPhase();
  }

  // Be quiet now, and let the server know how much was heard.
  stopHearing(note) {
    const turn = this.playing ?? this.current;
    if (!turn) return;
    const heardMs = this.player.stop();
    turn.progress(heardMs);
    if (!turn.isOver) turn.cut(note);
    this.playing = null;
    if (turn.itemId) {
      const place = { item_id: turn.itemId, content_index: 0, audio_end_ms: heardMs };
      this.connection.send({ type: "conversation.item.truncate", ...place });
    }
  }

  // By a button or a key; the server has to be told to stop as well.
  interrupt() {
    if (this.current) this.connection.send({ type: "response.cancel" });
    this.stopHearing("You stopped it there.");
    this.current = null;
    this.showPhase();
  }

  newConversation() {
    this.interrupt();
    this.reset();
    this.turns.clear();
    this.controls.showPictures([]);
    this.connection.open();
  }

  showPhase() {
    const isHeard = this.playing !== null && this.player.isPlaying;
    let phase = "idle";
    if (this.isRecording || this.isSpeaking) phase = "listening";
    else if (isHeard) phase = "speaking";
    else if (this.current || this.isAsking || this.isOpening || this.playing) phase = "waiting";
    this.controls.showPhase(phase, this.isRecording || (this.microphone.isOpen && this.controls.mode === "free"));
  }
}

function pictureItem(id, address) {
  return { id, type: "message", role: "user", content: [{ type: "input_image", image_url: address }] };
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `item_${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

new App();
