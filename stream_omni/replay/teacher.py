"""Replay for reduced precision: each step is given what was recorded, and asked what it would have chosen itself.

Free runs cannot be compared: two logits that are nearly equal change places in fewer bits, and all that follows is
another answer. Here the recorded ids go on in any case, so every step stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.replay.cases import Case
from stream_omni.runtime.memory import memory_of
from stream_omni.runtime.prefill import chunk_tokens_of
from stream_omni.runtime.session import Array, Runtime, Session
from stream_omni.text_engine import FROM_EMBEDS, TextRequest


@dataclass
class Choices:
    """Of one loop. ``gaps``: where the choice was another than the recorded one, by how much it was preferred, in
    standard deviations of the step's logits (of labels, of which only two are given, in logits; infinite where the
    recorded one was not among the two best)."""

    made: int = 0
    gaps: list[float] = field(default_factory=list)

    @property
    def agreement(self) -> float:
        """Of all choices; 1 of none."""
        return 1 - len(self.gaps) / self.made if self.made else 1.0

    def note(self, own: int, recorded: int, gap: float) -> None:
        self.made += 1
        if own != recorded:
            self.gaps.append(gap)


class TaughtSession:
    """``llm`` or ``speech_top`` of a turn that runs alone: its logits, changed so that the recorded row is the best.
    ``rows``: the recorded row of the logits for each step; afterwards it is free."""

    def __init__(self, session: Session, rows: Sequence[int], choices: Choices) -> None:
        self.memory, self.chunk_tokens = memory_of(session), chunk_tokens_of(session)
        self._session, self._rows, self._choices = session, list(rows), choices
        self._step = 0

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, Any]:
        found = self._session.run(inputs, caches)
        if len(found["logits"]):
            found["logits"] = self._teach(np.array(found["logits"]))
        return found

    def _teach(self, logits: Array) -> Array:
        """[1, rows]"""
        if self._step < len(self._rows):
            recorded, row = self._rows[self._step], logits[0]
            own = int(row.argmax())
            self._choices.note(own, recorded, float((row[own] - row[recorded]) / row.std()))
            if own != recorded:
                row[recorded] = np.nextafter(row[own], np.float32(np.inf))
        self._step += 1
        return logits


class TaughtLabels:
    """``speech_bottom_step`` of a turn that runs alone: its best label is the recorded one of each step."""

    def __init__(self, session: Session, labels: Sequence[int], choices: Choices) -> None:
        self.memory, self.chunk_tokens = memory_of(session), chunk_tokens_of(session)
        self._session, self._labels, self._choices = session, list(labels), choices
        self._step = 0

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, Any]:
        found = self._session.run(inputs, caches)
        if self._step < len(self._labels):
            (best, second), (first_value, second_value) = found["ctc_ids"][0, 0], found["ctc_values"][0, 0]
            recorded = self._labels[self._step]
            gap = float(first_value - second_value) if second == recorded else float("inf")
            self._choices.note(int(best), recorded, gap)
            found["ctc_ids"] = np.array([[[recorded, second]]])
        self._step += 1
        return found


class RecordedText:
    """In place of an ``llm``: the recorded ids, and after them the end."""

    def __init__(self, info: ModelInfo, ids: Sequence[int]) -> None:
        self._info, self._ids = info, [*ids, info.vocabulary.eot]
        self._step = 0

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, Any]:
        rows, vocabulary = len(inputs["rows"]), self._info.vocabulary
        logits = np.zeros((rows, vocabulary.text_size), np.float32)
        if rows:
            logits[0, self._ids[min(self._step, len(self._ids) - 1)]] = 1
            self._step += 1
        return {"last_hidden": np.zeros((rows, self._info.llama.hidden), np.float32), "logits": logits}


class AskedText(RecordedText):
    """In place of an ``llm`` whose logits nobody can see (TensorRT-LLM's): before each recorded id goes on, ``engine``
    (a text engine of one slot) is asked what would come next, with all that came before as its prompt. By how much it
    preferred another id is not known, and noted as 0."""

    def __init__(self, engine: Any, info: ModelInfo, ids: Sequence[int], choices: Choices) -> None:
        super().__init__(info, ids)
        self._engine, self._recorded, self._choices = engine, list(ids), choices
        self._before: list[Array] = []  # ids [T], piece by piece
        self._embeds: list[Array] = []

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Any] = ()) -> dict[str, Any]:
        (ids,), (embeds,) = inputs["ids"], inputs["embeds"]
        self._before.append(np.array(ids))
        self._embeds.append(np.array(embeds[ids == FROM_EMBEDS]))
        if len(inputs["rows"]) and self._step < len(self._recorded):
            self._choices.note(self._ask(), self._recorded[self._step], 0.0)
        return super().run(inputs, caches)

    def _ask(self) -> int:
        """Raises RuntimeError where the engine fails."""
        request = TextRequest(np.concatenate(self._before), np.concatenate(self._embeds), 1, stop_ids=())
        self._engine.start(0, request)
        said: list[int] = []
        finish = None
        while finish is None:
            for event in self._engine.step():
                said += event.ids
                finish = event.finish
                if finish == "error":
                    raise RuntimeError(event.message)
        return said[0]


class TaughtRuntime:
    """A runtime whose loops are led along one case. ``text``, ``speech`` and ``labels``: what they chose themselves."""

    def __init__(self, runtime: Runtime, info: ModelInfo, case: Case) -> None:
        self.text, self.speech, self.labels = Choices(), Choices(), Choices()
        self._runtime = runtime
        self._taught: dict[str, Session] = {}
        fields = case.fields
        self.shows_text = "llm" not in getattr(runtime, "hidden", ())
        if "llm_ids" in fields and self.shows_text:
            self._taught["llm"] = TaughtSession(runtime.session("llm"), fields["llm_ids"], self.text)
        elif "llm_ids" in fields:
            engine = runtime.text_engine(runtime, info, 1, 0)  # type: ignore[attr-defined]
            self._taught["llm"] = AskedText(engine, info, fields["llm_ids"], self.text)
        if "steps" in fields:
            row_of = {token: row for row, token in enumerate(info.speech_ids)}
            rows = [row_of[token] for token in fields["out_ids"]]
            top, step = runtime.session("speech_top"), runtime.session("speech_bottom_step")
            self._taught["speech_top"] = TaughtSession(top, rows, self.speech)
            self._taught["speech_bottom_step"] = TaughtLabels(step, fields["steps"]["label"][1:], self.labels)

    def session(self, graph: str) -> Session:
        return self._taught[graph] if graph in self._taught else self._runtime.session(graph)
