"""A served model that speaks the protocol and does what the question's first word says, or else the system prompt's.

No network, no library.
"""

import collections
import json
import os
import signal
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
OUTPUTS = {
    "event": object,
    "seq": np.int32,
    "delta": object,
    "samples": np.int16,
    "sample_rate": np.int32,
    "start_ms": np.int32,
    "marks": object,
    "units": np.int32,
    "detail": object,
}
RATE_HZ = 22050


class Turn:
    def __init__(self, request):
        self.inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        self.sender = request.get_response_sender()
        self.parameters = json.loads(request.parameters() or "{}")
        self.seq = 0

    def words(self, name):
        return self.inputs[name][0].decode() if name in self.inputs else ""

    def send(self, event, **values):
        values = {"event": event, "seq": self.seq, **values}
        tensors = []
        for name, kind in OUTPUTS.items():
            value = values.get(name, [])
            value = value.encode() if isinstance(value, str) else value
            tensors.append(pb_utils.Tensor(name, np.array(value, kind).reshape(-1)))
        self.sender.send(pb_utils.InferenceResponse(tensors))
        self.seq += 1

    def finish(self, message=None, code=None):
        if message is None:
            self.sender.send(flags=FINAL)
        else:
            error = pb_utils.TritonError(message, code)
            self.sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)


class TritonPythonModel:
    def initialize(self, args):
        self.cancelled = 0  # of these, by a message:
        self.departed = 0
        self.departures = set()
        self.lingering = set()  # tickets of those whose message is long in being answered; of these messages:
        self.heard_out = self.cut_off = 0
        self.refused = collections.Counter()

    def execute(self, requests):
        for request in requests:
            turn = Turn(request)
            if "leave" in turn.parameters:
                threading.Thread(target=self.dismiss, args=(turn,), daemon=True).start()
            else:
                threading.Thread(target=self.answer, args=(turn,), daemon=True).start()

    def dismiss(self, turn):
        ticket = turn.parameters["leave"]
        self.departures.add(ticket)
        if ticket in self.lingering:
            time.sleep(0.3)
            self.heard_out += not turn.sender.is_cancelled()
            self.cut_off += turn.sender.is_cancelled()
        turn.finish()

    def is_left(self, turn):
        if turn.parameters.get("ticket") in self.departures:
            self.departed += 1
            return True
        return turn.sender.is_cancelled()

    def answer(self, turn):
        command, _, rest = (turn.words("text") or turn.words("system")).partition(" ")
        try:
            getattr(self, f"do_{command}", self.do_echo)(turn, rest)
        except Exception as error:  # or who asked would wait for ever
            turn.finish(f"INTERNAL: {error!r}", pb_utils.TritonError.INTERNAL)
            raise

    def do_echo(self, turn, rest):
        """Every kind of event; `done` tells which inputs came."""
        transcript, text = "", "Grüße, 世界"
        if "audio" in turn.inputs:
            transcript = "what is this"
            turn.send("transcript", delta="what ")
            turn.send("transcript", delta="is this")
        speech = turn.words("output") == "speech"
        if turn.words("task") == "transcribe":
            text = ""
        else:
            turn.send("text", delta=text[:7])
            if speech:
                turn.send("audio", **piece(0, marks=[[0, 5, 0], [7, 9, 200]]))
            turn.send("text", delta=text[7:])
            if speech:
                turn.send("audio", **piece(1, marks=[]))
        detail = {
            "finish_reason": "stop",
            "text_finish": "stop",
            "audio_finish": self.audio_finish(turn, rest) if speech else None,
            "transcript": transcript,
            "text": text,
            "usage": {"prompt_tokens": 7, "text_tokens": 3},
            "timings": {"first_transcript_ms": None, "first_text_ms": 1.5, "first_audio_ms": None, "total_ms": 2},
            "effective": {name: describe(value) for name, value in turn.inputs.items()},
        }
        turn.send("done", detail=json.dumps(detail))
        turn.finish()

    def audio_finish(self, turn, rest):
        """Answers are cut; what is only spoken is not, unless it is told to be."""
        return "stop" if turn.words("task") == "speak" and rest != "without end" else "length"

    def do_report(self, turn, rest):
        """The inputs as they came, as the answer's text: for who cannot see `done`."""
        text = json.dumps({name: describe(value) for name, value in turn.inputs.items()}, ensure_ascii=False)
        turn.send("text", delta=text)
        turn.send("done", detail=json.dumps({**EMPTY_DETAIL, "text": text}))
        turn.finish()

    def do_refuse(self, turn, rest):
        code, _, message = rest.partition(" ")
        turn.finish(message, getattr(pb_utils.TritonError, code))

    def do_narrow(self, turn, rest):
        """A context for so many turns of history, which the answer tells."""
        history = turn.words("history")
        if len(json.loads(history or "[]")) >= int(rest):
            message = "INVALID_ARGUMENT: the prompt has 9 tokens and the answer 1; the context holds 8, leave some away"
            turn.finish(message, pb_utils.TritonError.INVALID_ARG)
            return
        turn.send("text", delta=history)
        turn.send("done", detail=json.dumps({**EMPTY_DETAIL, "text": history}))
        turn.finish()

    def do_busy(self, turn, rest):
        """`busy COUNT MILLISECONDS NAME`: refuses that many tries of the name, then echoes."""
        count, milliseconds, name = rest.split()
        self.refused[name] += 1
        message = f"OVERLOADED retry_after_ms={milliseconds}: refused {self.refused[name]} times; come again later"
        if self.refused[name] > int(count):
            self.do_echo(turn, rest)
        else:
            turn.finish(message, pb_utils.TritonError.UNAVAILABLE)

    def do_every(self, turn, rest):
        """`every COUNT NAME`: refuses each such time that the name is asked."""
        count, name = rest.split()
        self.refused[name] += 1
        if self.refused[name] % int(count):
            self.do_echo(turn, rest)
        else:
            turn.finish("OVERLOADED retry_after_ms=60000: not this time", pb_utils.TritonError.UNAVAILABLE)

    def do_late(self, turn, rest):
        """Says which try this is, and only then refuses it."""
        self.refused[rest] += 1
        turn.send("text", delta=str(self.refused[rest]))
        turn.finish("OVERLOADED retry_after_ms=1: too late", pb_utils.TritonError.UNAVAILABLE)

    def do_long(self, turn, rest):
        """Speech of 0.2 s pieces, each with one word, until it is left."""
        turn.send("text", delta="one two three four five")
        words = [[0, 3], [4, 7], [8, 13], [14, 18], [19, 23]]
        for number, word in enumerate(words):
            turn.send("audio", **piece(number, marks=[[*word, 200 * number]]))
        self.wait_for_cancel(turn)

    def do_break(self, turn, rest):
        turn.send("text", delta="half of it")
        turn.finish("INTERNAL: the stage llm is gone; try again.", pb_utils.TritonError.INTERNAL)

    def do_silent(self, turn, rest):
        self.wait_for_cancel(turn)

    def do_pause(self, turn, rest):
        turn.send("text", delta="one")
        self.wait_for_cancel(turn)

    def do_endless(self, turn, rest):
        while not self.is_left(turn):
            turn.send("text", delta="more ")
            time.sleep(0.02)
        self.cancelled += 1
        turn.finish()

    def do_linger(self, turn, rest):
        self.lingering.add(turn.parameters["ticket"])
        self.do_endless(turn, rest)

    def do_farewells(self, turn, rest):
        self.tell(turn, f"{self.heard_out} {self.cut_off}")

    def do_sing(self, turn, rest):
        """Text ahead of its speech, which goes on for ever: 0.2 s of sound and a word, each 0.05 s or as told."""
        if "audio" in turn.inputs:
            turn.send("transcript", delta="sing to me")
        turn.send("text", delta="la " * 100)
        number = 0
        while not self.is_left(turn):
            turn.send("audio", **piece(number, marks=[[3 * number, 3 * number + 2, 200 * number]]))
            number += 1
            time.sleep(float(rest or 0.05))
        self.cancelled += 1
        turn.finish()

    def do_recite(self, turn, rest):
        """Five seconds of speech: one at once, the others unevenly, and about twice as fast as they are played."""
        if "audio" in turn.inputs:
            turn.send("transcript", delta="what do you know by heart")
        text = "one two three four five"
        turn.send("text", delta=text)
        places = [(text.index(word), text.index(word) + len(word)) for word in text.split()]
        for number in range(25):
            marks = [[*places[number // 5], 200 * number]] if number % 5 == 0 else []
            turn.send("audio", **piece(number, marks))
            if number >= 5:
                time.sleep(0.05 if number % 5 else 0.3)
        turn.send("done", detail=json.dumps({**EMPTY_DETAIL, "text": text}))
        turn.finish()

    def do_cancelled(self, turn, rest):
        self.tell(turn, self.cancelled)

    def do_departed(self, turn, rest):
        self.tell(turn, self.departed)

    def tell(self, turn, number):
        turn.send("text", delta=str(number))
        turn.send("done", detail=json.dumps(EMPTY_DETAIL))
        turn.finish()

    def do_deaf(self, turn, rest):
        """As a server that knows of no messages."""
        turn.send("text", delta="one")
        while not turn.sender.is_cancelled():
            time.sleep(0.02)
        self.cancelled += 1
        turn.finish()

    def do_skip(self, turn, rest):
        turn.send("text", delta="one")
        turn.seq += 1
        turn.send("text", delta="three")
        turn.finish()

    def do_vanish(self, turn, rest):
        turn.send("text", delta="one")
        turn.finish()

    def do_garble(self, turn, rest):
        turn.send("song")
        turn.finish()

    def do_die(self, turn, rest):
        turn.send("text", delta="one")
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)

    def wait_for_cancel(self, turn):
        while not self.is_left(turn):
            time.sleep(0.02)
        self.cancelled += 1
        turn.finish()


EMPTY_DETAIL = {"finish_reason": "stop", "transcript": "", "text": "", "usage": {}, "timings": {}, "effective": {}}


def piece(number, marks):
    ramp = np.arange(4410) + 4410 * number  # 0.2 s
    return {
        "samples": ramp,
        "sample_rate": RATE_HZ,
        "start_ms": 200 * number,
        "marks": json.dumps(marks),
        "units": [5, 6, 7, 8, 9],
    }


def describe(value):
    if value.dtype == object:
        return [element.decode("utf-8", "replace") for element in value]
    return {"type": str(value.dtype), "shape": list(value.shape), "first": value[0].item(), "sum": float(value.sum())}
