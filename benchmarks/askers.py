"""Ways to ask a question and watch the answer come: of a server, or of the library in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from stream_omni_client import Overloaded, Reply, StreamOmni, StreamOmniError
from stream_omni_client.stream import Stream
from stream_omni_eval.turn_trace import Arrival, TurnTrace

from benchmarks.questions import SAMPLE_RATE_HZ, Question
from stream_omni import answer
from stream_omni.turn import InProcess

_RETRY_S = 0.01  # a place that is just being freed
_PATIENCE_S = 300.0


class Asker(Protocol):
    """May be called by several threads at once."""

    def ask(self, question: Question, leave_after: int | None = None) -> TurnTrace:
        """Ask and take the answer in, all of it or ``leave_after`` events of it. A turn that fails has an ``error``."""
        ...


class ServedAsker:
    """Through gRPC, as any client. ``patient``: a refused turn is asked again until it is let in."""

    def __init__(self, url: str, patient: bool = True) -> None:
        self._client = StreamOmni(url, first_event_timeout_s=_PATIENCE_S, idle_timeout_s=_PATIENCE_S, max_retries=0)
        self._patient = patient

    def close(self) -> None:
        self._client.close()

    def ask(self, question: Question, leave_after: int | None = None) -> TurnTrace:
        trace = TurnTrace(time.monotonic())
        while True:
            try:
                self._take(question, trace, leave_after)
                return trace
            except Overloaded as refusal:
                trace.refusals += 1
                if not self._patient:
                    trace.error = str(refusal)
                    return trace
                time.sleep(_RETRY_S)
            except StreamOmniError as error:
                trace.error = f"{type(error).__name__}: {error}"
                return trace

    def _take(self, question: Question, trace: TurnTrace, leave_after: int | None) -> None:
        asked_s = time.monotonic() - trace.began_s
        if question.task == "answer":
            with self._open(question) as stream:
                opened_s = time.monotonic() - trace.began_s  # the events' own clock starts here
                for event in stream:
                    trace.arrivals.append(Arrival.of(event, opened_s + event.elapsed_s))
                    if len(trace.arrivals) == leave_after:
                        trace.left = True
                        return
        else:
            trace.arrivals += _arrivals(self._finish_task(question), asked_s)

    def _open(self, question: Question) -> Stream:
        return self._client.stream(
            question.text,
            audio=None if question.audio is None else (question.audio, SAMPLE_RATE_HZ),
            image=question.picture,
            output="speech" if question.output == "speech" else "text",
            max_tokens=question.max_tokens,
            max_audio_ms=question.max_audio_ms,
            seed=question.seed,
        )

    def _finish_task(self, question: Question) -> Reply:
        """Transcribing and reading aloud, which the client offers as a whole."""
        if question.audio is not None:
            return self._client.transcribe((question.audio, SAMPLE_RATE_HZ))
        return self._client.speak(question.text or "", max_audio_ms=question.max_audio_ms, seed=question.seed)


class InProcessAsker:
    def __init__(self, turns: InProcess) -> None:
        self._turns = turns

    def ask(self, question: Question, leave_after: int | None = None) -> TurnTrace:
        trace = TurnTrace(time.monotonic())
        events: Iterator[answer.Event] = self._turns.answer(question.tensors())
        for event in events:
            audio_s = len(event.samples) / event.sample_rate_hz if event.sample_rate_hz else 0.0
            at_s = time.monotonic() - trace.began_s
            trace.arrivals.append(Arrival(event.kind, at_s, audio_s, len(event.units)))
            if len(trace.arrivals) == leave_after:
                trace.left = True
                break
        return trace


def _arrivals(reply: Reply, asked_s: float) -> list[Arrival]:
    """What a whole reply still tells: when the first piece of each kind and the end came."""
    seen = reply.client_timings
    times = {"transcript": seen.first_transcript_ms, "text": seen.first_text_ms, "audio": seen.first_audio_ms}
    found = [Arrival(kind, asked_s + at_ms / 1000) for kind, at_ms in times.items() if at_ms is not None]
    return [*found, Arrival("done", asked_s + (seen.total_ms or 0.0) / 1000)]
