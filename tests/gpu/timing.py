"""The speech loop, timed: until its first unit, and between units."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_omni.graphs import TEXT_LAG
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.events import Event
from stream_omni.runtime.session import Runtime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import TextEngine, TextRequest

PROMPT_TOKENS, UNITS, TEXT_TOKENS, WARM_UP = 120, 40, 40, 3
PLAYS_MS = 40.0  # of a unit


@dataclass(frozen=True)
class Times:
    """Milliseconds. ``first``: from the prompt's ids to the first unit of any turn, the LLM's first ids included;
    ``unit`` and ``token``: median of a step of all turns."""

    turns: int
    first: float
    unit: float
    token: float

    def line(self, what: str) -> str:
        unit = f"a unit {self.unit:.1f} ms (it plays for {PLAYS_MS:.0f})"
        return f"{what}, {self.turns} turns: first unit {self.first:.0f} ms, {unit}, a token {self.token:.1f} ms"


def time_turns(runtime: Runtime, info: ModelInfo, turns: int) -> Times:
    """Random weights speak as fast as trained ones. All ids count as speakable."""
    for _ in range(WARM_UP):
        found = _once(runtime, info, turns)
    return found


def _once(runtime: Runtime, info: ModelInfo, turns: int) -> Times:
    llm = TextEngine.served(runtime, info, turns)
    steps = runtime.session("speech_bottom_step"), runtime.session("speech_top")
    speech = SpeechEngine(*steps, info, np.ones(info.vocabulary.text_size, np.bool_), turns)
    ids = np.random.default_rng(0).integers(0, info.vocabulary.text_size, PROMPT_TOKENS)
    begin_s = time.perf_counter()
    prompt = read_prompt(runtime.session("speech_bottom"), info, ids)
    for turn in range(turns):
        llm.start(turn, TextRequest(np.full(len(ids), -1), prompt.soft_embeds, TEXT_TOKENS, stop_ids=()))
        speech.start(turn, SpeechRequest(prompt.hidden, prompt.keys_values, False, UNITS))
    made, first_s = 0, 0.0
    while made < TEXT_LAG:  # of turn 0: speech begins when so many are there
        events = llm.step()
        _hand_on(speech, events)
        made += sum(len(event.ids) for event in events if event.turn == 0)
    while not first_s:
        if any(event.ids for event in speech.step()):
            first_s = time.perf_counter() - begin_s
    tokens_ms = _run(llm, lambda events: _hand_on(speech, events))
    units_ms = _run(speech, lambda events: None)
    return Times(turns, 1e3 * first_s, statistics.median(units_ms), statistics.median(tokens_ms))


def _hand_on(speech: SpeechEngine, events: list[Event]) -> None:
    for event in events:
        speech.append(event.turn, event.ids, event.finish is not None)


def _run(engine: TextEngine | SpeechEngine, tell: Callable[[list[Event]], None]) -> list[float]:
    took = []
    while engine.has_work:
        began_s = time.perf_counter()
        tell(engine.step())
        took.append(1e3 * (time.perf_counter() - began_s))
    return took


def time_answers(engine: Any, requests: Sequence[TextRequest]) -> tuple[str, list[list[int]]]:
    """All at once, on any text engine: how long until each had its first id and until all were done, and the ids."""
    made: list[list[int]] = [[] for _ in requests]
    first_s, began_s = 0.0, time.perf_counter()
    for turn, request in enumerate(requests):
        engine.start(turn, request)
    while engine.has_work:
        for event in engine.step():
            made[event.turn] += event.ids
        if not first_s and all(made):
            first_s = time.perf_counter() - began_s
    all_s = time.perf_counter() - began_s
    a_token_ms = 1e3 * (all_s - first_s) / max(1, max(map(len, made)) - 1)
    return f"first ids after {1e3 * first_s:.0f} ms, then a token {a_token_ms:.1f} ms", made
