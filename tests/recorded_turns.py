"""Recorded turns as requests to the engines, and engines driven until they rest."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni.runtime.events import Event
from stream_omni.runtime.session import Array
from stream_omni.runtime.torch_runtime import TorchRuntime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import FROM_EMBEDS, TextEngine, TextRequest

FIXTURES = Path(__file__).parent / "fixtures"


@functools.cache
def torch_runtime(checkpoint: Path) -> TorchRuntime:
    """One for all tests, so that each graph is loaded once."""
    return TorchRuntime(checkpoint, None)


@functools.cache
def speakable(size: int) -> Array:
    mask = np.ones(size, np.bool_)
    mask[np.load(FIXTURES / "skip_ids.npy")] = False
    return mask


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Array]]:
    fields = json.loads((FIXTURES / "cases" / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(FIXTURES / "cases" / f"{name}.npz") as arrays:
        return fields, dict(arrays)


def text_request(name: str, eos: tuple[int, ...], eot: int) -> TextRequest:
    """The LLM's part of a case, from the embeddings that entered it. Text of a spoken answer ends with EOT only."""
    fields, arrays = recorded(name)
    speaks = fields["mode"].endswith("speech")
    embeds = arrays["llm_prompt_embeds" if "llm_prompt_embeds" in arrays else "soft_embeds"]
    if "llm_prompt_embeds" not in arrays and "image_at" in fields:
        at = fields["image_at"]
        embeds = np.concatenate([embeds[:at], arrays["merged_image_features"], embeds[at:]])
    limit = len(fields["llm_ids"]) if speaks else fields["max_new_tokens"]
    return TextRequest(np.full(len(embeds), FROM_EMBEDS), embeds, limit, (eot,) if speaks else eos)


@dataclass(frozen=True)
class SpokenCase:
    fields: dict[str, Any]
    arrays: dict[str, Array]
    request: SpeechRequest


@functools.cache
def spoken_case(checkpoint: Path, name: str) -> SpokenCase:
    """A case's speech side: its prompt through the bottom stack, and the recorded text ids in ``fields["llm_ids"]``."""
    fields, arrays = recorded(name)
    runtime = torch_runtime(checkpoint)
    ids = np.array([i for i in fields.get("prefill_ids", fields["prompt_ids"]) if i >= 0], np.int64)
    prompt = read_prompt(runtime.session("speech_bottom"), runtime.info, ids)
    text_in = fields["mode"] == "text_to_speech"
    return SpokenCase(
        fields, arrays, SpeechRequest(prompt.hidden, prompt.keys_values, text_in, fields["max_new_tokens"])
    )


@dataclass
class Outcome:
    ids: list[int]
    counts: list[int]
    finish: str | None = None
    message: str = ""

    def add(self, event: Event) -> None:
        assert self.finish is None, "nothing comes after the end"
        self.ids += event.ids
        self.counts += event.counts
        self.finish, self.message = event.finish, event.message


def drive(
    engine: TextEngine | SpeechEngine, between: Callable[[int], None] = lambda step: None, steps: int = 10_000
) -> dict[int, Outcome]:
    """Step until there is no work left (or ``steps`` are done), calling ``between`` before each step."""
    found: dict[int, Outcome] = {}
    for step in range(steps):
        between(step)
        if not engine.has_work:
            break
        for event in engine.step():
            found.setdefault(event.turn, Outcome([], [])).add(event)
    return found
