"""What one turn tells the metrics, its trace and the log: when its events came, how its sound kept up, how it ended."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

from stream_omni.answer import Event
from stream_omni.serving.metrics import (
    AUDIO_CHUNK_GAP_SECONDS,
    AUDIO_SECONDS,
    AUDIO_UNDERRUNS,
    FIRST_AUDIO_PART_SECONDS,
    FIRST_AUDIO_SECONDS,
    FIRST_TEXT_SECONDS,
    FIRST_TRANSCRIPT_SECONDS,
    REALTIME_FACTOR,
    REQUESTS,
    UNKNOWN_MODE,
    Recorder,
)
from stream_omni.serving.spans import CURRENT, Span, Tracer, Untraced

FAILURES = ("rejected", "deadline", "error")  # outcomes that are the server's own doing, not the client's
_FIRST = {"transcript": FIRST_TRANSCRIPT_SECONDS, "text": FIRST_TEXT_SECONDS, "audio": FIRST_AUDIO_SECONDS}


class TurnMeter:
    """Of one turn that came at ``began_s`` (time.monotonic)."""

    def __init__(self, recorder: Recorder, began_s: float, tracer: Tracer | None = None) -> None:
        self._recorder, self._began_s, self._tracer = recorder, began_s, tracer or Untraced()
        self._span: Span | None = None
        self._mode = UNKNOWN_MODE
        self._heard: set[str] = set()  # kinds of events
        self._parts_s: defaultdict[str, float] = defaultdict(float)  # of the way to the first sound
        self._reached_s = began_s  # the end of the last of them
        self._first_sound_s = self._last_sound_s = 0.0
        self._played_s = 0.0  # when a listener who plays at once will have played all
        self._after_first_s = 0.0  # of sound
        self._sound_s = 0.0
        self._report: dict[str, Any] = {}
        self._detail: dict[str, Any] = {}  # of `done`

    def trace(self, name: str, traceparent: Any) -> None:
        """Make the turn's span, under its client's, the current one of this task."""
        self._span = self._tracer.begin(name, traceparent, self._began_s)
        CURRENT.set(self._span)

    @property
    def traceparent(self) -> str | None:
        """For who goes on with the turn; None: it is not traced."""
        return self._span.traceparent if self._span else None

    def know(self, mode: str) -> None:
        """The request was read."""
        self._mode = mode
        self.reach("request")

    def reach(self, part: str) -> None:
        """On its way to the first sound the turn has done with ``part``, one of FIRST_AUDIO_PARTS."""
        self._reach(part, time.monotonic())

    def hear(self, event: Event) -> None:
        """An event leaves for the client."""
        now_s = time.monotonic()
        first = event.kind not in self._heard
        self._heard.add(event.kind)
        if first:
            self._report[f"first_{event.kind}_ms"] = round((now_s - self._began_s) * 1000, 1)
            if self._span:
                self._span.happen(f"first_{event.kind}")
        if first and event.kind == "text":
            self._reach("llm", now_s)
        if first and event.kind == "audio":
            self._tell_parts(now_s)
        if first and event.kind in _FIRST:
            self._recorder.observe(_FIRST[event.kind], now_s - self._began_s, mode=self._mode)
        if event.kind == "audio":
            self._play(now_s, len(event.samples) / event.sample_rate_hz, first)
        if event.kind == "done":
            self._detail = json.loads(event.detail)

    def end(self, outcome: str, reason: str | None = None) -> None:
        """``outcome``: one of those of the metric; ``reason``: the error's word. Sound of a turn that was cut short is
        still judged."""
        self._recorder.add(REQUESTS, mode=self._mode, outcome=outcome)
        if self._after_first_s:
            took_s = self._last_sound_s - self._first_sound_s
            self._recorder.observe(REALTIME_FACTOR, took_s / self._after_first_s)
        if self._span:
            self._span.know(outcome=outcome, reason=reason, **self.report(with_content=False))
            self._span.end(reason if outcome in FAILURES else None)

    def report(self, with_content: bool) -> dict[str, Any]:
        """For the log: times in milliseconds from the arrival, counts, and only if wanted the words."""
        told = {**self._report, "mode": self._mode, **self._detail.get("usage", {})}
        if self._sound_s:
            told["audio_s"] = round(self._sound_s, 3)
        if self._detail:
            told["finish_reason"] = self._detail["finish_reason"]
        words = {name: self._detail.get(name) for name in ("transcript", "text")} if with_content else {}
        return {**told, **words}

    def _reach(self, part: str, now_s: float) -> None:
        self._parts_s[part] += now_s - self._reached_s
        self._reached_s = now_s

    def _tell_parts(self, now_s: float) -> None:
        """Each stretch of time is in one part, so that they add up to the time of the first sound."""
        self._reach("token2wav", now_s)
        for part, part_s in self._parts_s.items():
            self._recorder.add(FIRST_AUDIO_PART_SECONDS, part_s, mode=self._mode, part=part)

    def _play(self, now_s: float, sound_s: float, first: bool) -> None:
        self._recorder.add(AUDIO_SECONDS, sound_s)
        self._sound_s += sound_s
        if first:
            self._first_sound_s = self._played_s = now_s
        else:
            self._recorder.observe(AUDIO_CHUNK_GAP_SECONDS, now_s - self._last_sound_s)
            self._after_first_s += sound_s
        if now_s > self._played_s:
            self._recorder.add(AUDIO_UNDERRUNS)
        self._last_sound_s = now_s
        self._played_s = max(self._played_s, now_s) + sound_s
