"""How a checkpoint is deployed on GPUs: the files in deployments/, which say why their values are what they are.

Optimisation profiles of the engines, the Triton configuration, and the estimates of memory, disk and time all follow
from a :class:`Deployment`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.prefill import CHUNK_TOKENS

FOLDER = Path(__file__).parent / "deployments"
DEFAULT = "gpu-1"

# stage: the graphs that it runs (stream_omni.graphs); the speech tokenizer's comes with the checkpoint
GRAPHS_OF: dict[str, tuple[str, ...]] = {
    "speech_tokenizer": (),
    "vision_encoder": ("vision_encoder",),
    "speech_bottom": ("speech_bottom",),
    "llm": ("llm",),
    "speech_top": ("speech_bottom_step", "speech_top"),
    "cosyvoice_flow": ("flow_encoder", "flow_estimator"),
    "vocoder": ("f0_predictor", "vocoder"),
}
LOOPS = ("llm", "speech_top")  # run all turns together: their batch is the number of turns, and one instance holds them
ENGINES = ("tensorrt", "tensorrt-llm")  # that are compiled for one GPU
_ENGINES: dict[str, tuple[str, ...]] = dict.fromkeys(GRAPHS_OF, ("tensorrt", "torch")) | {
    "speech_tokenizer": ("onnxruntime",),
    "llm": ("tensorrt-llm", "tensorrt", "torch"),
}
# 8 bits are for the large matrices of Llama layers
_LLAMA_STAGES = ("speech_bottom", "llm", "speech_top")
_PLAIN, _NARROW = ("fp32", "bf16", "fp16"), ("int8", "fp8")


class DeploymentError(ValueError):
    """A deployment profile has a key that means nothing, lacks one, or gives it a value that cannot be."""


@dataclass(frozen=True)
class Stage:
    """One Triton model. ``batch``: rows in one run (tiles, prompts, turns or chunks of speech)."""

    name: str
    engine: str  # "tensorrt-llm", "tensorrt", "torch" or "onnxruntime"
    precision: str  # "fp32", "bf16", "fp16"; of weights alone "int8", "fp8"
    batch: int
    gpu: int = 0
    instances: int = 1

    @property
    def graphs(self) -> tuple[str, ...]:
        return GRAPHS_OF[self.name]


@dataclass(frozen=True)
class Deployment:
    """See deployments/gpu-1.toml, where every value is explained."""

    name: str
    gpus: int
    gpu_memory_gb: int
    turns: int
    prompt_positions: int
    answer_positions: int
    prefill_positions: int
    chunks: ChunkSchedule
    only_units: bool
    stages: Mapping[str, Stage]

    @property
    def positions(self) -> int:
        """What a turn's key-value caches hold at the most."""
        return self.prompt_positions + self.answer_positions

    @property
    def picture_tiles(self) -> int:
        """Encoded in one run."""
        return self.stages["vision_encoder"].batch

    @property
    def window_units(self) -> tuple[int, int]:
        """Units of a piece of speech with what is heard around it: the fewest and the most."""
        chunks = self.chunks
        return 1, chunks.context_units + chunks.largest_units + chunks.lookahead_units

    def stage_of(self, graph: str) -> Stage:
        """The stage that runs a graph of :mod:`stream_omni.graphs`. Raises KeyError for one that no GPU runs."""
        return next(stage for stage in self.stages.values() if graph in stage.graphs)


def shipped() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_deployment(name: str) -> Deployment:
    """A shipped profile by its name, or a file by its path. Raises DeploymentError that names all that is wrong."""
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise DeploymentError(f"there is no profile {name!r}: give one of {', '.join(shipped())}, or a .toml file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeploymentError(f"{path} is no TOML: {error}") from error
    try:
        return _read(path.stem, content)
    except DeploymentError as error:
        raise DeploymentError(f"{path}: {error}") from error


_NUMBERS = {
    "gpus": ("count", "memory_gb"),
    "limits": ("turns", "prompt_positions", "answer_positions", "prefill_positions"),
}


def _read(name: str, content: dict[str, Any]) -> Deployment:
    faults = [
        f"there is no table [{key}]" for key in sorted(content.keys() - {*_NUMBERS, "chunks", "graphs", "stages"})
    ]
    numbers: dict[str, int] = {}
    for table, keys in _NUMBERS.items():
        found, wrong = _numbers(table, content.get(table, {}), keys)
        numbers |= found
        faults += wrong
    chunks = _chunks(content.get("chunks", {}), faults)
    graphs = content.get("graphs", {})
    if graphs.keys() != {"only_units"} or not isinstance(graphs["only_units"], bool):
        faults.append("[graphs] must hold only_units, true or false, and nothing else")
    if not faults:
        stages = _stages(content.get("stages", {}), numbers["turns"], numbers["count"], faults)
        faults += _contradictions(numbers)
    if faults:
        raise DeploymentError("; ".join(faults))
    limits = {key: numbers[key] for key in _NUMBERS["limits"]}
    return Deployment(
        name,
        numbers["count"],
        numbers["memory_gb"],
        **limits,
        chunks=chunks,
        only_units=graphs["only_units"],
        stages=stages,
    )


def _contradictions(numbers: Mapping[str, int]) -> Iterator[str]:
    prefill, prompt = numbers["prefill_positions"], numbers["prompt_positions"]
    if prefill < CHUNK_TOKENS:
        yield f"[limits] prefill_positions is {prefill}; a prompt is read in pieces of {CHUNK_TOKENS}"
    if prefill > prompt:
        yield f"[limits] prefill_positions {prefill} are more than prompt_positions {prompt}"


def _numbers(table: str, values: Any, keys: tuple[str, ...]) -> tuple[dict[str, int], list[str]]:
    """Whole numbers above 0, all of ``keys`` and no others; what is wrong."""
    if not isinstance(values, dict):
        return {}, [f"{table} must be a table, [{table}]"]
    faults = [f"[{table}] has no use for {key}" for key in sorted(values.keys() - set(keys))]
    faults += [f"[{table}] needs {key}" for key in keys if key not in values]
    for key in keys:
        if key in values and not _is_count(values[key]):
            faults.append(f"[{table}] {key} is {values[key]!r}; it must be a whole number above 0")
    return {key: values[key] for key in keys if key in values}, faults


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _chunks(values: Any, faults: list[str]) -> ChunkSchedule:
    try:
        return ChunkSchedule(**values)
    except (TypeError, ValueError) as error:
        faults.append(f"[chunks] {error}")
        return ChunkSchedule()


def _stages(tables: Any, turns: int, gpus: int, faults: list[str]) -> dict[str, Stage]:
    if not isinstance(tables, dict):
        faults.append("stages must be tables, such as [stages.llm]")
        return {}
    faults += [f"there is no stage {name!r}: {', '.join(GRAPHS_OF)} are" for name in tables.keys() - GRAPHS_OF.keys()]
    faults += [f"[stages.{name}] is missing" for name in GRAPHS_OF if name not in tables]
    found = {}
    for name in GRAPHS_OF:
        if name in tables:
            wrong = list(_stage_faults(name, tables[name], gpus))
            faults += [f"[stages.{name}] {fault}" for fault in wrong]
            if not wrong:
                found[name] = Stage(name, **({"batch": turns} | tables[name]))
    return found


def _stage_faults(name: str, values: Any, gpus: int) -> Iterator[str]:
    if not isinstance(values, dict):
        yield "must be a table"
        return
    known = {field.name for field in dataclasses.fields(Stage)} - {"name"}
    needed = {"engine", "precision"} | (set() if name in LOOPS else {"batch"})
    yield from (f"has no use for {key}" for key in sorted(values.keys() - known))
    yield from (f"needs {key}" for key in sorted(needed - values.keys()))
    if name in LOOPS:
        yield from (f"takes no {key}: it runs all turns together" for key in ("batch", "instances") if key in values)
    else:
        for key in {"batch", "instances"} & values.keys():
            if not _is_count(values[key]):
                yield f"{key} is {values[key]!r}; it must be a whole number above 0"
    gpu = values.get("gpu", 0)
    if not isinstance(gpu, int) or isinstance(gpu, bool) or not 0 <= gpu < gpus:
        yield f"gpu is {gpu!r}; there are 0 to {gpus - 1} ([gpus] count)"
    engine, precision = values.get("engine"), values.get("precision")
    if engine is not None and engine not in _ENGINES[name]:
        yield f"engine is {engine!r}; it can be {' or '.join(_ENGINES[name])}"
    elif engine is not None and precision is not None and precision not in (allowed := _precisions(name, engine)):
        yield f"precision is {precision!r}; {engine} can run it in {', '.join(allowed)}"


def _precisions(stage: str, engine: str) -> tuple[str, ...]:
    if engine == "onnxruntime":
        return ("fp32",)
    if engine == "torch" or stage not in _LLAMA_STAGES:
        return _PLAIN
    return _PLAIN + _NARROW
