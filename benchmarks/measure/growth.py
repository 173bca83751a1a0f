"""Whether a long answer gets slower: the time of a speech unit in the last quarter of an answer, and in the first."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np

from benchmarks.plans import Plan
from benchmarks.results import Values
from benchmarks.spoken_prompts import any_text, spoken_prompt
from benchmarks.subjects import Subject
from benchmarks.summary import Ratio
from stream_omni.assets import Assets
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import SpeechPrompt, read_prompt

_QUESTION_UNITS = 60
_ROUNDS = 3


def measure(subject: Subject, plan: Plan) -> Values:
    """The speech engine alone: all text is there from the beginning, so no step waits for the LLM."""
    assets, runtime = Assets.load(subject.served), OnnxRuntime(subject.served, threads=1)
    info, bottom = assets.info, runtime.session("speech_bottom")
    read = read_prompt(bottom, info, spoken_prompt(assets, _QUESTION_UNITS, False, seed=2).prompt.spoken_ids)
    text = any_text(assets, plan.growth_units, seed=3)
    session = runtime.session
    engine = SpeechEngine(session("speech_bottom_step"), session("speech_top"), info, assets.speakable, slots=1)
    rounds = [_unit_times_ms(engine, turn, read, text, plan.growth_units) for turn in range(_ROUNDS)]
    quarter = max(1, len(rounds[0]) // 4)
    first, last = ([float(np.mean(times)) for times in part] for part in _parts(rounds, quarter))
    return {
        "units": len(rounds[0]),
        "first_quarter_ms": first,
        "last_quarter_ms": last,
        "ratio": Ratio.of(last, first).as_json(),
        "unit_ms_by_position": np.median([_by_position(times) for times in rounds], axis=0).tolist(),
    }


def _parts(rounds: list[list[float]], quarter: int) -> tuple[list[list[float]], list[list[float]]]:
    return [times[:quarter] for times in rounds], [times[-quarter:] for times in rounds]


def _by_position(times: list[float], parts: int = 30) -> list[float]:
    """Medians along the answer, for a plot."""
    return [float(np.median(part)) for part in np.array_split(times, min(parts, len(times)))]


def _unit_times_ms(engine: SpeechEngine, turn: int, read: SpeechPrompt, text: list[int], units: int) -> list[float]:
    """Of each id after the first, whose time is that of the prompt."""
    engine.start(turn, SpeechRequest(read.hidden, read.keys_values, False, units))
    engine.append(turn, text, final=True)
    at_s: list[float] = []
    while engine.active:
        for event in engine.step():
            if event.finish == "error":
                raise RuntimeError(event.message)
            at_s += [time.perf_counter()] * len(event.ids)
    return [1000 * (b - a) for a, b in pairwise(at_s)]
