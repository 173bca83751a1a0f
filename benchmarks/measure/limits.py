"""How far from what the machine can do: a step against reading its weights, a first unit against its arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from stream_omni_eval.percentiles import Percentiles

from benchmarks.arithmetic import first_unit_operations, step_bytes
from benchmarks.machine_limits import multiply_rates_gflop_s, read_rates_gb_s
from benchmarks.own_loop import OwnLoop
from benchmarks.plans import Plan
from benchmarks.results import Values
from benchmarks.spoken_prompts import SpokenPrompt, any_text, spoken_prompt
from benchmarks.subjects import Subject
from benchmarks.summary import interleave
from stream_omni.assets import Assets
from stream_omni.image_tiles import tile_image
from stream_omni.model_info import ModelInfo
from stream_omni.runtime.events import Event
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import TextEngine, TextRequest

_QUESTION_UNITS = 60


def measure(subject: Subject, plan: Plan) -> Values:
    """One thread. What the machine can do is measured in the same rounds as what we do."""
    assets, runtime = Assets.load(subject.served), OnnxRuntime(subject.served, threads=1)
    steps = min(200, plan.reference_units)
    asked, pictured = (spoken_prompt(assets, _QUESTION_UNITS, picture, seed=4) for picture in (False, True))
    loop = OwnLoop(runtime, assets)
    sides: dict[str, Callable[[], dict[str, float]]] = {
        "read": read_rates_gb_s,
        "multiply": multiply_rates_gflop_s,
        "times": lambda: {
            "speech step": _speech_step_s(runtime, assets, asked, steps),
            "llm step": _llm_step_s(runtime, assets, asked, steps),
            "first unit": _first_unit_s(loop, pictured),
        },
    }
    interleave(sides, 1)  # first calls cost more
    found = interleave(sides, max(1, plan.pair_rounds // 3))
    read_gb_s = max(rate for rates in found["read"] for rate in rates.values())
    gflop_s = max(rate for rates in found["multiply"] for rate in rates.values())
    times_s = {name: [times[name] for times in found["times"]] for name in found["times"][0]}
    positions = len(asked.prompt.spoken_ids) + steps // 2
    folder, info = subject.served / "graphs", assets.info
    screened, whole = ("llm_greedy", "speech_bottom_step_screened"), ("llm", "speech_bottom_step")
    llm, bottom = screened if info.screened_heads else whole
    llm_bytes = step_bytes(folder, llm, info, positions)
    speech_bytes = sum(step_bytes(folder, graph, info, positions) for graph in (bottom, "speech_top"))
    operations = _operations(loop, pictured, info)
    return {
        "read_gb_s": found["read"],
        "multiply_gflop_s": found["multiply"],
        "speech_step": _against(times_s["speech step"], speech_bytes / read_gb_s / 1e9, {"bytes": speech_bytes}),
        "llm_step": _against(times_s["llm step"], llm_bytes / read_gb_s / 1e9, {"bytes": llm_bytes}),
        "first_unit": _against(times_s["first unit"], operations / gflop_s / 1e9, {"operations": operations}),
    }


def _against(times_s: list[float], least_s: float, what: Values) -> Values:
    """Measured times against the least possible one."""
    ratios = {"ratio": float(np.median(times_s)) / least_s, "best_ratio": min(times_s) / least_s}
    return {**what, "ms": Percentiles.of([1000 * s for s in times_s]).as_json(), "least_ms": 1000 * least_s, **ratios}


def _operations(loop: OwnLoop, asked: SpokenPrompt, info: ModelInfo) -> int:
    """Of the turn that ``loop`` made last."""
    assert asked.image is not None
    tiles = len(tile_image(asked.image, info.image, info.vision).pixels)
    rows = sum(map(len, loop.pictures))
    return first_unit_operations(info, len(asked.prompt.spoken_ids), rows, tiles, len(loop.text_ids))


def _first_unit_s(loop: OwnLoop, asked: SpokenPrompt) -> float:
    began_s = time.perf_counter()
    list(loop.speak(asked, max_units=1))
    return time.perf_counter() - began_s


def _speech_step_s(runtime: OnnxRuntime, assets: Assets, asked: SpokenPrompt, steps: int) -> float:
    """Median time of a unit; all text is there from the beginning."""
    info, session = assets.info, runtime.session
    read = read_prompt(session("speech_bottom"), info, asked.prompt.spoken_ids)
    engine = SpeechEngine(session("speech_bottom_step"), session("speech_top"), info, assets.speakable, slots=1)
    engine.start(0, SpeechRequest(read.hidden, read.keys_values, False, steps))
    engine.append(0, any_text(assets, steps, seed=5), final=True)
    return _median_step_s(engine)


def _llm_step_s(runtime: OnnxRuntime, assets: Assets, asked: SpokenPrompt, steps: int) -> float:
    engine = TextEngine.served(runtime, assets.info, slots=1)
    nothing = np.zeros((0, assets.info.llama.hidden), np.float32)
    ids = asked.prompt.ids % assets.info.vocabulary.bos  # any text ids: only their number matters
    engine.start(0, TextRequest(ids, nothing, steps, ()))
    return _median_step_s(engine)


def _median_step_s(engine: SpeechEngine | TextEngine) -> float:
    at_s: list[float] = []
    while engine.active:
        for event in engine.step():
            _raise_error(event)
            at_s += [time.perf_counter()] * len(event.ids)
    return float(np.median(np.diff(at_s)))


def _raise_error(event: Event) -> None:
    if event.finish == "error":
        raise RuntimeError(event.message)
