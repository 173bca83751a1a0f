"""One answer on its timeline: turns what the engines make into the typed events that a client reads.

Used alike by the turn in process and by the served one, so that both say the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import ModelInfo
from stream_omni.speech_stream import AudioPiece
from stream_omni.token2wav import speech_sizes
from stream_omni.tokenizer import TextStream, Tokenizer

Finish = Literal["stop", "length"]
Kind = Literal["transcript", "text", "audio", "done"]


def _no_samples() -> NDArray[np.int16]:
    return np.zeros(0, np.int16)


def _no_units() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, eq=False)
class Event:
    """One response of the protocol; what its kind does not use is empty. ``marks`` and ``detail`` are JSON."""

    kind: Kind
    seq: int
    delta: str = ""
    samples: NDArray[np.int16] = field(default_factory=_no_samples)  # [M]
    sample_rate_hz: int = 0
    start_ms: int = 0
    marks: str = ""
    units: NDArray[np.int32] = field(default_factory=_no_units)  # [U]
    detail: str = ""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Every output of the protocol, also those that this kind does not use."""
        return {
            "event": _bytes(self.kind),
            "seq": np.array([self.seq], np.int32),
            "delta": _bytes(self.delta),
            "samples": self.samples,
            "sample_rate": np.array([self.sample_rate_hz], np.int32),
            "start_ms": np.array([self.start_ms], np.int32),
            "marks": _bytes(self.marks),
            "units": self.units,
            "detail": _bytes(self.detail),
        }


def _bytes(text: str) -> NDArray[np.object_]:
    return np.array([text.encode()], object)


class Answer:
    """State of one answer. Each method that returns an event gives it the next number: emit events in that order."""

    def __init__(
        self,
        info: ModelInfo,
        tokenizer: Tokenizer,
        speakable: NDArray[np.bool_],
        effective: Mapping[str, Any],
        began_s: float | None = None,
    ) -> None:
        """``effective``: the request's parameters as used; ``began_s``: when it came (time.monotonic), default now."""
        self._info, self._tokenizer, self._speakable, self._effective = info, tokenizer, speakable, effective
        self._began_s = time.monotonic() if began_s is None else began_s
        self._first_ms: dict[Kind, float] = {}
        self._seq = 0
        self._transcript = ""
        self._text = ""
        self._stream = TextStream(tokenizer)
        self._spans: list[tuple[int, int]] = []  # characters of the text that each speakable token stands for
        self._counted = 0  # speakable tokens that began to be spoken
        self._units = 0  # so far made
        self._marks: list[tuple[int, int, int]] = []  # (unit, text_begin, text_end), not yet sent
        self.text_finish: Finish | None = None
        self.audio_finish: Finish | None = None
        self.request_id: str | None = None  # of a served turn
        self.usage = {"prompt_tokens": 0, "question_units": 0, "text_tokens": 0, "speech_units": 0}

    def add_transcript(self, ids: list[int]) -> Event:
        """``ids``: the collapsed labels of the spoken question."""
        self._transcript = self._tokenizer.decode(ids, skip_special=True).strip()
        return self._event("transcript", delta=self._transcript)

    def add_text(self, ids: Iterable[int]) -> Event | None:
        """The characters that are complete with these text ids; None while there is none."""
        begin = len(self._text)
        for token in ids:
            self.usage["text_tokens"] += 1
            self._append_text(self._stream.push(token), token)
        return self._event("text", delta=self._text[begin:]) if len(self._text) > begin else None

    def finish_text(self, finish: Finish) -> Event | None:
        """The text is complete; an unfinished character becomes U+FFFD here."""
        self.text_finish = finish
        rest = self._stream.finish()
        self._text += rest
        return self._event("text", delta=rest) if rest else None

    def add_speech(self, ids: Iterable[int], counts: Iterable[int]) -> list[int]:
        """Note the speech engine's output and return the speech units in it. ``counts`` as in SpeechEngine: what an id
        counts for the first time began to be spoken one id earlier."""
        units: list[int] = []
        for output, count in zip(ids, counts, strict=True):
            made = self._units + len(units)
            for begin, end in self._spans[self._counted : count]:
                if end > begin:
                    self._marks.append((max(0, made - 1), begin, end))
            self._counted = max(self._counted, count)
            if output >= self._info.vocabulary.unit_offset:
                units.append(output - self._info.vocabulary.unit_offset)
        self._units += len(units)
        return units

    def add_audio(self, piece: AudioPiece) -> Event:
        """The next piece of sound, with the marks that fall into it (or a hair before it, where a chunk ended)."""
        _, vocoder = speech_sizes(self._info)
        end = piece.first_unit + len(piece.units)
        due = [mark for mark in self._marks if mark[0] < end]
        self._marks = self._marks[len(due) :]
        marks = [[text_begin, text_end, self._unit_ms(unit)] for unit, text_begin, text_end in due]
        self.usage["speech_units"] = end
        return self._event(
            "audio",
            samples=piece.samples,
            sample_rate_hz=vocoder.sample_rate_hz,
            start_ms=piece.start_ms,
            marks=json.dumps(marks),
            units=piece.units,
        )

    def done(self) -> Event:
        finishes = (self.text_finish, self.audio_finish)
        detail = {
            "finish_reason": "length" if "length" in finishes else "stop",
            "text_finish": self.text_finish,
            "audio_finish": self.audio_finish,
            "transcript": self._transcript,
            "text": self._text,
            "request_id": self.request_id,
            "usage": self.usage,
            "timings": {
                "first_transcript_ms": self._first_ms.get("transcript"),
                "first_text_ms": self._first_ms.get("text"),
                "first_audio_ms": self._first_ms.get("audio"),
                "total_ms": self._elapsed_ms(),
            },
            "effective": self._effective,
        }
        return self._event("done", detail=json.dumps(detail, ensure_ascii=False))

    def _unit_ms(self, unit: int) -> int:
        flow, _ = speech_sizes(self._info)
        return unit * 1000 // flow.unit_rate_hz

    def _append_text(self, piece: str, token: int) -> None:
        begin = len(self._text)
        self._text += piece
        if self._speakable[token]:
            self._spans.append((begin + len(piece) - len(piece.lstrip()), len(self._text)))

    def _event(self, kind: Kind, **values: Any) -> Event:
        self._first_ms.setdefault(kind, self._elapsed_ms())
        event = Event(kind, self._seq, **values)
        self._seq += 1
        return event

    def _elapsed_ms(self) -> float:
        return round((time.monotonic() - self._began_s) * 1000, 1)
