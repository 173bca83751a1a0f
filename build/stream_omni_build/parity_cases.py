"""Inputs on which an exported graph is compared with its network: random ones, in ordinary and in extreme shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from stream_omni.graphs import WINDOW_TOKENS, Graph
from stream_omni.model_info import FlowSizes, ModelInfo
from stream_omni.runtime.session import Array


@dataclass(frozen=True, eq=False)
class Case:
    """``written`` [B, T] are the cache positions that the run writes; all others must stay as they are."""

    shape: str  # for people
    inputs: dict[str, Array]
    caches: list[Array] = field(default_factory=list)
    written: Array = field(default_factory=lambda: np.zeros((0, 0), np.int64))


@dataclass(frozen=True)
class _Run:
    """A run of a decoder: the positions before it in each batch row, its own positions, how many rows are chosen."""

    past: tuple[int, ...]
    length: int
    rows: int

    @property
    def batch(self) -> int:
        return len(self.past)


_RUNS = (
    _Run(past=(0,), length=1, rows=1),
    _Run(past=(0,), length=7, rows=1),
    _Run(past=(0, 0), length=4, rows=0),  # a chunk that is not a prompt's last
    _Run(past=(9, 4, 0), length=1, rows=3),  # a step of turns of different ages
    _Run(past=(6, 2), length=5, rows=1),
)
_CAPACITY = 24  # not a size that any run has, and larger than all positions


def parity_cases(graph: Graph, info: ModelInfo) -> Iterator[Case]:
    """The same ones each time."""
    random = np.random.default_rng(0)
    if graph.cache_layers:
        for run in _RUNS:
            yield _decoder_case(graph, info, run, random)
    else:
        yield from _MAKERS[graph.name](info, random)


def _decoder_case(graph: Graph, info: ModelInfo, run: _Run, random: np.random.Generator) -> Case:
    batch, length, rows = run.batch, run.length, run.rows
    vocabulary, hidden = info.vocabulary, info.llama.hidden
    positions = np.array(run.past)[:, None] + np.arange(length)
    taken = {tensor.name for tensor in graph.inputs}
    ids = random.integers(0, vocabulary.text_size if "embeds" in taken else vocabulary.size, (batch, length))
    if "embeds" in taken:
        ids[:, ::2] = -1  # every other position takes its row of `embeds`
    candidates = {
        "ids": ids,
        "positions": positions,
        "embeds": _normal(random, batch, length, hidden),
        "hidden": _normal(random, batch, length, hidden),
        "rows": np.sort(random.permutation(batch)[:rows]),
        "window_ids": random.integers(0, vocabulary.size, (rows, WINDOW_TOKENS)),
        "window_positions": random.integers(0, 20, (rows, 1)) + np.arange(WINDOW_TOKENS),
        "window_length": random.integers(1, WINDOW_TOKENS + 1, rows),
    }
    cache_shape = (batch, info.llama.kv_heads, _CAPACITY, info.llama.head_size)
    # also what lies beyond the written positions is random: left over from another turn, it must not be heard
    caches = [_normal(random, *cache_shape) for _ in graph.cache_names()]
    inputs = {tensor.name: candidates[tensor.name] for tensor in graph.inputs}
    shape = f"B={batch} T={length} past={list(run.past)} S={_CAPACITY}" + (f" R={rows}" if "rows" in inputs else "")
    return Case(shape, inputs, caches, positions)


def _pictures(info: ModelInfo, random: np.random.Generator) -> Iterator[Case]:
    side = info.vision.image_size_px
    for tiles in (1, 2):
        yield Case(f"B={tiles}", {"pixels": random.uniform(-1, 1, (tiles, 3, side, side)).astype(np.float32)})


def _flow_encodings(info: ModelInfo, random: np.random.Generator) -> Iterator[Case]:
    flow = _flow(info)
    for batch, units, frames in ((1, 1, 1), (1, 1, 3), (1, 10, 17), (2, 7, 12)):
        left = np.sort(random.integers(0, units, (batch, frames)), axis=1)
        inputs = {
            "units": random.integers(0, flow.units, (batch, units)),
            "speaker": _normal(random, batch, flow.speaker_size),
            "left": left,
            "right": np.minimum(left + 1, units - 1),
            "weight": random.uniform(0, 1, (batch, frames)).astype(np.float32),
        }
        yield Case(f"B={batch} N={units} T={frames}", inputs)


def _flow_steps(info: ModelInfo, random: np.random.Generator) -> Iterator[Case]:
    mel = _flow(info).mel_channels
    for batch, frames in ((2, 1), (2, 2), (2, 17), (1, 40), (4, 9)):
        inputs = {
            "x": _normal(random, batch, mel, frames),
            "mu": _normal(random, batch, mel, frames),
            "speaker": _normal(random, batch, mel),
            "condition": _normal(random, batch, mel, frames),
            "time": random.uniform(0, 1, batch).astype(np.float32),
        }
        yield Case(f"B={batch} T={frames}", inputs)


_FRAMES = ((1, 1), (1, 2), (1, 13), (2, 8))


def _pitches(info: ModelInfo, random: np.random.Generator) -> Iterator[Case]:
    for batch, frames in _FRAMES:
        yield Case(f"B={batch} T={frames}", {"mel": _normal(random, batch, _flow(info).mel_channels, frames)})


def _waveforms(info: ModelInfo, random: np.random.Generator) -> Iterator[Case]:
    assert info.vocoder is not None
    for batch, frames in _FRAMES:
        inputs = {
            "mel": _normal(random, batch, _flow(info).mel_channels, frames),
            "source": 0.1 * _normal(random, batch, frames * info.vocoder.hop_samples),
        }
        yield Case(f"B={batch} T={frames}", inputs)


def _flow(info: ModelInfo) -> FlowSizes:
    assert info.flow is not None
    return info.flow


def _normal(random: np.random.Generator, *shape: int) -> Array:
    return random.standard_normal(shape, np.float32)


_MAKERS: dict[str, Callable[[ModelInfo, np.random.Generator], Iterator[Case]]] = {
    "vision_encoder": _pictures,
    "flow_encoder": _flow_encodings,
    "flow_estimator": _flow_steps,
    "f0_predictor": _pitches,
    "vocoder": _waveforms,
}
