"""Asks every item in every way that it can be asked, of a served system, and keeps what came back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from stream_omni_client import AudioDelta, Overloaded, StreamOmni, StreamOmniError

from stream_omni_eval.manifest import Item
from stream_omni_eval.turn_trace import Arrival, TurnTrace

_RETRY_S = 0.05
_PATIENCE_S = 300.0  # for one turn's events, on a busy machine
_SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Mode:
    """One of the four ways to have a turn."""

    name: str
    spoken: bool  # the question
    output: str  # "text" or "speech"

    def fits(self, item: Item) -> bool:
        return (item.audio if self.spoken else item.text) is not None


MODES = (
    Mode("text to text", spoken=False, output="text"),
    Mode("text to speech", spoken=False, output="speech"),
    Mode("speech to text", spoken=True, output="text"),
    Mode("speech to speech", spoken=True, output="speech"),
)


@dataclass(frozen=True)
class Job:
    item: Item
    mode: Mode


def jobs_of(items: Iterable[Item]) -> list[Job]:
    return [Job(item, mode) for item in items for mode in MODES if mode.fits(item)]


@dataclass(eq=False)
class Turn:
    """What a job brought. ``pieces``: samples of each piece of sound; ``error`` is empty for a turn that went well."""

    job: Job
    trace: TurnTrace
    transcript: str = ""
    text: str = ""
    finish_reason: str = ""
    units: tuple[int, ...] = ()
    samples: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    rate_hz: int = 0
    pieces: tuple[int, ...] = ()
    error: str = ""

    @property
    def digest(self) -> str:
        """Of all that was said, to the bit."""
        said = repr((self.transcript, self.text, self.finish_reason, self.units)).encode()
        return hashlib.sha256(said + self.samples.tobytes()).hexdigest()


def ask_all(url: str, jobs: Sequence[Job], streams: int, say: Callable[[str], None]) -> list[Turn]:
    """The turns of ``jobs``, in their order; ``streams`` are under way at a time."""
    count = _Count(len(jobs), say)
    with (
        StreamOmni(url, first_event_timeout_s=_PATIENCE_S, idle_timeout_s=_PATIENCE_S, max_retries=0) as client,
        ThreadPoolExecutor(streams) as pool,
    ):

        def ask(job: Job) -> Turn:
            turn = ask_once(client, job)
            count.add()
            return turn

        return list(pool.map(ask, jobs))


def ask_once(client: StreamOmni, job: Job) -> Turn:
    """A refused turn is asked again until it is let in; its times count from the first time."""
    trace = TurnTrace(time.monotonic())
    while True:
        try:
            return _take(client, job, trace)
        except Overloaded:
            trace.refusals += 1
            time.sleep(_RETRY_S)
        except (StreamOmniError, OSError) as error:
            trace.error = f"{type(error).__name__}: {error}"
            return Turn(job, trace, error=trace.error)


def _take(client: StreamOmni, job: Job, trace: TurnTrace) -> Turn:
    item, mode = job.item, job.mode
    pieces: list[AudioDelta] = []
    with client.stream(
        None if mode.spoken else item.text,
        audio=item.audio if mode.spoken else None,
        image=list(item.images) or None,
        output="speech" if mode.output == "speech" else "text",
    ) as stream:
        opened_s = time.monotonic() - trace.began_s  # the events' own clock starts here
        for event in stream:
            trace.arrivals.append(Arrival.of(event, opened_s + event.elapsed_s))
            if isinstance(event, AudioDelta):
                pieces.append(event)
        reply = stream.reply
    return Turn(
        job,
        trace,
        transcript=reply.transcript,
        text=reply.text,
        finish_reason=str(reply.finish_reason),
        units=tuple(int(unit) for piece in pieces for unit in piece.units),
        samples=reply.audio.samples if reply.audio else np.zeros(0, np.int16),
        rate_hz=pieces[0].sample_rate_hz if pieces else 0,
        pieces=tuple(len(piece.samples) for piece in pieces),
    )


class _Count:
    """Says every few seconds how far it is."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._done, self._said_s = 0, time.monotonic()

    def add(self) -> None:
        self._done += 1
        if time.monotonic() - self._said_s > _SAY_EVERY_S:
            self._said_s = time.monotonic()
            self._say(f"  {self._done} of {self._total} turns")
