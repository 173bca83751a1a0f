"""From a client's cancel until no stage holds anything for its turn, by the client's clock.

One of eight streams leaves while the others go on: the front door gives its place away only when every engine has freed
its slot. And all eight leave at once: no engine holds a slot any more. Both are seen on /metrics.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
from stream_omni_client import Cancelled, StreamOmni
from stream_omni_eval.percentiles import Percentiles

from benchmarks.places import Places, wait_for
from benchmarks.plans import Plan
from benchmarks.questions import SAMPLE_RATE_HZ, spoken
from benchmarks.results import Values
from benchmarks.subjects import Subject

_STREAMS = 8
_LONG_ANSWER_S = 60.0
_LATEST_S = 3.0  # from the question's first stages to the middle of the speech
_PATIENCE_S = 60.0


def measure(subject: Subject, plan: Plan) -> Values:
    streams = min(_STREAMS, max(plan.levels))
    generator = np.random.default_rng(0)
    with subject.serve(streams) as server, StreamOmni(server.grpc_url) as client:
        company = _Company(client, server.metrics_url, streams)
        one = [company.one_leaves(float(generator.uniform(0, _LATEST_S))) for _ in range(plan.cancels)]
        everyone_ms = [
            company.everyone_leaves(float(generator.uniform(0, _LATEST_S)))
            for _ in range(max(1, plan.cancels // streams))
        ]
        company.end()
    return {
        "streams": streams,
        "one_leaves_ms": Percentiles.of([free_ms for free_ms, _ in one]).as_json(),
        "everyone_leaves_ms": Percentiles.of(everyone_ms).as_json(),
        "free_ms_of_each": [free_ms for free_ms, _ in one],
        "cancelled_after_s": [after_s for _, after_s in one],
    }


class _Company:
    """As many guests as the server has places. Who leaves is followed by another."""

    def __init__(self, client: StreamOmni, metrics_url: str, streams: int) -> None:
        self._client, self._metrics_url, self._streams = client, metrics_url, streams
        self._numbers = itertools.count()
        self._guests = deque(self._invite() for _ in range(streams))

    def one_leaves(self, after_s: float) -> tuple[float, float]:
        """Milliseconds until its places were free, and seconds from its question to its leaving (about ``after_s``)."""
        self._wait(lambda places: places.turns == self._streams)
        guest = self._guests.popleft()
        time.sleep(max(0.0, guest.began_s + after_s - time.monotonic()))
        left_s = guest.leave()
        free_s = self._wait(lambda places: places.turns < self._streams)
        self._guests.append(self._invite())
        return 1000 * (free_s - left_s), left_s - guest.began_s

    def everyone_leaves(self, after_s: float) -> float:
        """Milliseconds from the first one's leaving until no place is taken."""
        self._wait(lambda places: places.turns == self._streams)
        time.sleep(after_s)
        left_s = min([guest.leave() for guest in self._guests])
        free_s = self._wait(lambda places: not places.taken)
        self._guests = deque(self._invite() for _ in range(self._streams))
        return 1000 * (free_s - left_s)

    def end(self) -> None:
        for guest in self._guests:
            guest.leave()

    def _invite(self) -> _Guest:
        return _Guest(self._client, next(self._numbers))

    def _wait(self, wanted: Callable[[Places], bool]) -> float:
        return wait_for(self._metrics_url, wanted, _PATIENCE_S)


class _Guest:
    """A stream that listens to a long answer, and to another where a checkpoint's answers end by themselves."""

    def __init__(self, client: StreamOmni, number: int) -> None:
        self._client, question = client, spoken(_LONG_ANSWER_S)(number, 0)
        assert question.audio is not None
        self._audio = (question.audio, SAMPLE_RATE_HZ)
        self._tokens, self._audio_ms = question.max_tokens, question.max_audio_ms
        self._lock, self._gone = threading.Lock(), False
        self._open()
        threading.Thread(target=self._listen, daemon=True).start()

    def leave(self) -> float:
        """When the cancel was sent."""
        with self._lock:
            self._gone, left_s = True, time.monotonic()
            self._stream.close()
        return left_s

    def _open(self) -> None:
        self.began_s = time.monotonic()
        self._stream = self._client.stream(
            audio=self._audio, output="speech", max_tokens=self._tokens, max_audio_ms=self._audio_ms
        )

    def _listen(self) -> None:
        with contextlib.suppress(Cancelled):
            while not self._gone:
                for _ in self._stream:
                    pass
                with self._lock:
                    if not self._gone:
                        self._open()
