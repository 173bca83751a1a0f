"""From a client's cancel until its places are free again, while seven other streams go on.

Seen from outside, on a server whose places are all taken: the next turn is let in when the front door, the LLM and the
speech loop each have a place. So all were free soon after the first attempt that was let in had been sent; the time
to that is what is reported.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from stream_omni_client import Cancelled, Overloaded, StreamOmni

from benchmarks.plans import Plan
from benchmarks.questions import SAMPLE_RATE_HZ, spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject
from benchmarks.summary import Percentiles

_LONG_ANSWER_S = 60.0
_CANCEL_AFTER_S = (0.1, 3.0)  # from the question's first stages to the middle of the speech
_RETRY_S = 0.002
_PATIENCE_S = 30.0


def measure(subject: Subject, plan: Plan) -> Values:
    streams = min(8, max(plan.levels))
    generator = np.random.default_rng(0)
    free_ms, phases_s, refusals = [], [], 0
    with subject.serve(streams) as server, StreamOmni(server.grpc_url) as client:
        guests = [_Guest(client, number) for number in range(streams)]
        for number in range(plan.cancels):
            guest = guests[number % streams]
            wanted_s = float(generator.uniform(*_CANCEL_AFTER_S))
            time.sleep(max(_CANCEL_AFTER_S[0], guest.began_s + wanted_s - time.monotonic()))
            cancelled_s = time.monotonic()
            guest.leave()
            let_in_s, refused = _knock(client)
            free_ms.append(1000 * (let_in_s - cancelled_s))
            phases_s.append(cancelled_s - guest.began_s)
            refusals += refused
            guests[number % streams] = _Guest(client, streams + number)
        for guest in guests:
            guest.leave()
    return {
        "streams": streams,
        "free_ms": Percentiles.of(free_ms).as_json(),
        "free_ms_of_each": free_ms,
        "cancelled_after_s": phases_s,
        "refused_attempts": refusals,
    }


class _Guest:
    """A stream that listens to a long answer until it leaves. Its place may take a moment to become free."""

    def __init__(self, client: StreamOmni, number: int) -> None:
        self._client, question = client, spoken(_LONG_ANSWER_S)(number, 0)
        assert question.audio is not None
        self._audio = (question.audio, SAMPLE_RATE_HZ)
        self._tokens, self._audio_ms = question.max_tokens, question.max_audio_ms
        self._lock, self._gone = threading.Lock(), False
        self._open()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        with self._lock:
            self._gone = True
            self._stream.close()
        self._thread.join()

    def _open(self) -> None:
        self.began_s = time.monotonic()
        self._stream = self._client.stream(
            audio=self._audio, output="speech", max_tokens=self._tokens, max_audio_ms=self._audio_ms
        )

    def _listen(self) -> None:
        while not self._gone:
            try:
                for _ in self._stream:
                    pass
            except Cancelled:
                return
            except Overloaded:
                time.sleep(_RETRY_S)
            with self._lock:
                if not self._gone:
                    self._open()  # after a refusal, and where a checkpoint's answers end by themselves


def _knock(client: StreamOmni) -> tuple[float, int]:
    """When the attempt was sent that was let in, and how many were refused before it."""
    deadline_s, refused = time.monotonic() + _PATIENCE_S, 0
    while time.monotonic() < deadline_s:
        sent_s = time.monotonic()
        try:
            client.chat("Hi", output="speech", max_tokens=1, max_audio_ms=40)
            return sent_s, refused
        except Overloaded:
            refused += 1
            time.sleep(_RETRY_S)
    raise RuntimeError(f"no place was free {_PATIENCE_S:g} s after a cancel")
