"""What every graph takes and gives in two real turns, recorded with ONNX Runtime in fp32: what engines are held to.

The turns run through the very loops that serve, one stage after the other, so that one stage's weights are loaded at a
time. Real activations matter: what overflows fp16 in a Llama layer does not in a graph fed with random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stream_omni.assets import Assets
from stream_omni.graphs import Graph, graphs
from stream_omni.llm_prompt import llm_prompt
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.noise import TurnNoise
from stream_omni.prompt import Prompt, Question, build_prompt
from stream_omni.runtime.events import Event
from stream_omni.runtime.session import Array, Runtime, Session
from stream_omni.speech_engine import SpeechEngine, SpeechRequest
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import TextEngine, TextRequest
from stream_omni.token2wav import run_flow, run_vocoder, speech_sizes

TEXT_TOKENS, SPEECH_UNITS = 6, 6  # of each turn: a few steps of both loops
PICTURE_ROWS = 40  # of the picture's 729 features in the prompt: more only takes longer
QUESTION_UNITS = 50  # two seconds of speech
CALLS_PER_SHAPE = 2
WORDS = "What is Triton?"

Values = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Call:
    """``inputs`` with the caches as they were; ``outputs`` with the new keys and values, as an engine's graph gives
    them (``Graph.new_cache_names``)."""

    inputs: Values
    outputs: Values


@dataclass
class Recorder:
    """A runtime whose sessions write down their calls: the first of each shape, its caches' capacity aside."""

    runtime: Runtime
    info: ModelInfo
    calls: dict[str, list[Call]] = field(default_factory=dict)

    def session(self, graph: str) -> Session:
        return _Recording(self.runtime.session(graph), graphs(self.info)[graph], self.calls.setdefault(graph, []))


class _Recording:
    def __init__(self, session: Session, graph: Graph, calls: list[Call]) -> None:
        self._session, self._graph, self._calls = session, graph, calls
        self._seen: dict[tuple[tuple[int, ...], ...], int] = {}

    def run(self, inputs: Mapping[str, Array], caches: Sequence[Array] = ()) -> Values:
        key = tuple(inputs[tensor.name].shape for tensor in self._graph.inputs)
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] > CALLS_PER_SHAPE:
            return self._session.run(inputs, caches)
        before = {name: cache.copy() for name, cache in zip(self._graph.cache_names(), caches, strict=True)}
        taken = {name: array.copy() for name, array in inputs.items()} | before
        outputs = self._session.run(inputs, caches)
        new = {
            name: new_rows(cache, inputs["positions"])
            for name, cache in zip(self._graph.new_cache_names(), caches, strict=True)
        }
        self._calls.append(Call(taken, {**outputs, **new}))
        return outputs


def new_rows(cache: Array, positions: Array) -> Array:
    """Of ``cache`` [B, kv_heads, S, head_size] the rows at ``positions`` [B, T]: [B, kv_heads, T, head_size]."""
    return np.take_along_axis(cache, positions[:, None, :, None], axis=2)


@dataclass
class Turns:
    """The turns as far as they have come: a spoken question about a picture and, where two may run at once, a written
    one. ``tiles``: of the picture, as many as one run may take."""

    assets: Assets
    values: Values  # what one stage leaves for the next
    count: int = 2
    tiles: int = 2

    def prompt(self, number: int) -> Prompt:
        info = self.assets.info
        units = tuple(np.random.default_rng(0).integers(0, info.vocabulary.units, QUESTION_UNITS).tolist())
        question = Question(units=units, pictures=1) if number == 0 else Question(text=WORDS)
        return build_prompt(self.assets.tokenizer, info, question)


def record_vision(turns: Turns, runtime: Runtime) -> None:
    """A picture: waves of colour, and a little noise."""
    side = turns.assets.info.vision.image_size_px
    across = np.linspace(0, 6 * np.pi, side, dtype=np.float32)
    waves = np.stack([np.sin(across[:, None] * rate + across) for rate in (0.3, 0.7, 1.1)])
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (turns.tiles, 3, side, side))
    pixels = np.clip(waves * 0.8 + noise, -1, 1).astype(np.float32)
    turns.values["picture"] = runtime.session("vision_encoder").run({"pixels": pixels})["projected"][0, :PICTURE_ROWS]


def record_bottom(turns: Turns, runtime: Runtime) -> None:
    info = turns.assets.info
    for number in range(turns.count):
        found = read_prompt(runtime.session("speech_bottom"), info, turns.prompt(number).spoken_ids)
        for name in ("hidden", "soft_embeds", "keys_values"):
            turns.values[f"{name}_{number}"] = getattr(found, name)


def record_llm(turns: Turns, runtime: Runtime) -> None:
    info, picture = turns.assets.info, turns.values["picture"]
    engine = TextEngine(runtime.session("llm"), info, slots=turns.count)
    for number in range(turns.count):
        soft = turns.values["soft_embeds_0"] if number == 0 else None
        pictures = [picture] if number == 0 else []
        ids, embeds = llm_prompt(turns.prompt(number), pictures, info.llama.hidden, soft)
        engine.start(number, TextRequest(ids, embeds, TEXT_TOKENS, ()))
    while engine.active:
        _sound(engine.step())


def record_speech(turns: Turns, runtime: Runtime) -> None:
    """The words are chosen, so that there is something to say whatever the LLM made of the question."""
    assets, values = turns.assets, turns.values
    step, top = runtime.session("speech_bottom_step"), runtime.session("speech_top")
    engine = SpeechEngine(step, top, assets.info, assets.speakable, slots=turns.count)
    words = assets.tokenizer.encode(WORDS)
    for number in range(turns.count):
        request = SpeechRequest(values[f"hidden_{number}"], values[f"keys_values_{number}"], True, SPEECH_UNITS)
        engine.start(number, request)
        engine.append(number, words, final=True)
    while engine.active:
        _sound(engine.step())


def record_flow(turns: Turns, runtime: Runtime) -> None:
    info = turns.assets.info
    flow, vocoder = speech_sizes(info)
    count = 30
    units = np.random.default_rng(0).integers(0, flow.units, (1, count))
    places = MelClock.of(flow, vocoder).window(0, count)
    speaker = turns.assets.speaker("default")[None]
    noise = TurnNoise(0).flow(0, places.frames, flow.mel_channels)[None]
    encoder, estimator = runtime.session("flow_encoder"), runtime.session("flow_estimator")
    turns.values["mel"] = run_flow(encoder, estimator, flow, units, speaker, [places], np.zeros_like(noise), noise)


def record_vocoder(turns: Turns, runtime: Runtime) -> None:
    _, sizes = speech_sizes(turns.assets.info)
    mel, noise = turns.values["mel"], TurnNoise(0)
    sines = noise.sine(0, mel.shape[-1], sizes.harmonics, sizes.hop_samples)[None]
    phase, begin = noise.phase(sizes.harmonics)[None], np.zeros(1, np.int64)
    f0_predictor, vocoder = runtime.session("f0_predictor"), runtime.session("vocoder")
    run_vocoder(f0_predictor, vocoder, sizes, mel, phase, begin, sines)


# stage: what runs it, in an order in which each finds what it needs
STEPS: dict[str, Callable[[Turns, Runtime], None]] = {
    "vision_encoder": record_vision,
    "speech_bottom": record_bottom,
    "llm": record_llm,
    "speech_top": record_speech,
    "cosyvoice_flow": record_flow,
    "vocoder": record_vocoder,
}
# stage: those whose results it is fed with
FED_BY = {"llm": ("vision_encoder", "speech_bottom"), "speech_top": ("speech_bottom",), "vocoder": ("cosyvoice_flow",)}


def record_stage(stage: str, turns: Turns, runtime: Runtime) -> dict[str, list[Call]]:
    """Run a stage; the calls of each of its graphs. ``turns`` goes on to the next."""
    recorder = Recorder(runtime, turns.assets.info)
    STEPS[stage](turns, recorder)
    return recorder.calls


def save_calls(path: Path, calls: Sequence[Call]) -> None:
    arrays: Values = {}
    for i, call in enumerate(calls):
        arrays |= {f"{i} in {name}": array for name, array in call.inputs.items()}
        arrays |= {f"{i} out {name}": array for name, array in call.outputs.items()}
    np.savez(path, **arrays)


def load_calls(path: Path) -> list[Call]:
    calls: dict[int, Call] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            number, side, name = key.split(" ", 2)
            call = calls.setdefault(int(number), Call({}, {}))
            (call.inputs if side == "in" else call.outputs)[name] = arrays[key]
    return [calls[number] for number in sorted(calls)]


def _sound(events: list[Event]) -> None:
    """Raises RuntimeError where a turn broke: then the recording is worth nothing."""
    for event in events:
        if event.finish == "error":
            raise RuntimeError(f"the recorded turn broke in fp32: {event.message}")
