"""What each stage of a deployment takes of its GPU: computed from the checkpoint's sizes and the profile alone.

Weights, key-value caches and the workspace of one run are sums over shapes. What CUDA itself takes for each process is
assumed, not computed (:data:`CONTEXT_BYTES`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from stream_omni.graphs import Graph, graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni_build.deployment import Deployment, Stage
from stream_omni_build.engines.quantize import FEWEST_WEIGHTS
from stream_omni_build.engines.shapes import Profile, profiles
from stream_omni_build.live_bytes import workspace_bytes
from stream_omni_build.tensorrt_llm_build import largest_run_positions

CONTEXT_BYTES = 500_000_000  # CUDA context and libraries of a process: an allowance, never measured here
HEADROOM = 0.95  # of a GPU's memory that may be planned: allocators keep some
# What CUDA gives programs of a card, by the GB of its name: one "of 24 GB" without ECC has 24 GiB, and gives 23.64
CARD_GB_BYTES = int(0.985 * (1 << 30))
LEAST_WORKSPACE_BYTES = 256 << 20  # of a compiler: kernels of small graphs need more than the results of a run
COMPILERS_SHARE = 1.5  # of a run's results: speech_bottom_step at its real size was refused 1.1, the vocoder 1.25
_LOW_BYTES = 2  # of a value in bf16
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "fp8": 1}
_CODES = ("int8", "fp8")


@dataclass(frozen=True)
class StageMemory:
    """Bytes of all instances of a stage. ``workspace``: the largest run's results, unfused and in fp32; compiled
    engines mostly need less. Of TensorRT-LLM it is another sum (:func:`llm_workspace`)."""

    stage: Stage
    weights: int
    caches: int
    workspace: int
    context: int

    @property
    def total(self) -> int:
        return self.weights + self.caches + self.workspace + self.context


def deployment_memory(info: ModelInfo, deployment: Deployment) -> list[StageMemory]:
    """Of the stages that run on a GPU. ``info`` as the deployment serves it (gpu_repository.deployed)."""
    on_gpu = (stage for stage in deployment.stages.values() if stage.engine != "onnxruntime")
    return [stage_memory(info, deployment, stage) for stage in on_gpu]


def stage_memory(info: ModelInfo, deployment: Deployment, stage: Stage) -> StageMemory:
    made = [graphs(info)[name] for name in stage.graphs]
    weights = sum(weight_bytes(info, graph.name, stage) for graph in made)
    caches = sum(cache_bytes(info, deployment, graph, stage) for graph in made)
    if stage.engine == "tensorrt-llm":
        workspace = llm_workspace(info, deployment)
    else:
        # runs follow one another
        workspace = max(run_workspace(graph, info, profiles(graph, info, deployment)) for graph in made)
    n = stage.instances
    return StageMemory(stage, n * weights, n * caches, n * workspace, n * CONTEXT_BYTES)


def weight_bytes(info: ModelInfo, graph: str, stage: Stage) -> int:
    """Of one graph in the stage's precision. 8 bits are for large matrices, with a scale of 2 bytes an output; tables
    and the rest stay in 2 bytes, and TensorRT-LLM keeps the head there, too."""
    if stage.precision not in _CODES:
        return _BYTES[stage.precision] * sum(math.prod(shape) for shape in parameters(graph, info).values())
    total = 0
    for name, shape in parameters(graph, info).items():
        looked_up = name == "table" or (name == "text_table" and graph == "speech_top")  # rows, not products
        spared = looked_up or (stage.engine == "tensorrt-llm" and name.startswith("head"))
        if len(shape) == 2 and math.prod(shape) >= FEWEST_WEIGHTS and not spared:
            total += math.prod(shape) + 2 * shape[1]
        else:
            total += 2 * math.prod(shape)
    return total


@cache
def parameters(graph: str, info: ModelInfo) -> dict[str, tuple[int, ...]]:
    """Shapes by name."""
    return {name: tuple(values.shape) for name, values in make_network(graph, info).named_parameters()}


def cache_bytes(info: ModelInfo, deployment: Deployment, graph: Graph, stage: Stage) -> int:
    """All turns at the longest: keys and values in the precision of the products, and one array twice while it grows.
    A prompt's own caches (``speech_bottom``) are of one turn."""
    if not graph.cache_layers:
        return 0
    rows = stage.batch
    array = rows * deployment.positions * info.llama.kv_heads * info.llama.head_size * max(2, _BYTES[stage.precision])
    return array * (2 * graph.cache_layers + 1)


def llm_workspace(info: ModelInfo, deployment: Deployment) -> int:
    """Of TensorRT-LLM's engine, by what tensorrt_llm_build asks it for: the prompt table of all turns, which it holds
    at its full size; a layer's widest results (the stream twice, gate, up and their product) for as many positions as
    one run may take, where attention is one kernel; and the logits of all turns. Reasoned from shapes, not seen."""
    llama, positions = info.llama, largest_run_positions(deployment)
    table = deployment.turns * deployment.positions * llama.hidden * _LOW_BYTES
    layer = positions * (2 * llama.hidden + 3 * llama.intermediate) * _LOW_BYTES
    return table + layer + 4 * deployment.turns * info.vocabulary.text_size


def compiler_workspace(graph: Graph, info: ModelInfo, shapes: Sequence[Profile]) -> int:
    """What a compiler may plan for a run: as :func:`run_workspace`, and more, for its order of work is its own. Where
    every engine takes all of it, what is more comes out of a GPU's headroom."""
    return max(LEAST_WORKSPACE_BYTES, int(COMPILERS_SHARE * run_workspace(graph, info, shapes)))


def run_workspace(graph: Graph, info: ModelInfo, shapes: Sequence[Profile]) -> int:
    """Of the largest of the graph's optimisation profiles."""
    kinds = {tensor.name: tensor.dtype for tensor in graph.inputs}
    runs = [
        tuple((each.most, kinds.get(name, "float32")) for name, each in profile.inputs.items())  # caches come last
        for profile in shapes
    ]
    return max(_run_bytes(graph.name, info, run) for run in runs)


@cache
def _run_bytes(graph: str, info: ModelInfo, inputs: tuple[tuple[tuple[int, ...], str], ...]) -> int:
    tensors = [torch.empty(shape, dtype=getattr(torch, kind), device="meta") for shape, kind in inputs]
    return workspace_bytes(make_network(graph, info), tensors)


def fits(memory: list[StageMemory], deployment: Deployment) -> bool:
    return max(by_gpu(memory, deployment)) <= HEADROOM * deployment.gpu_memory_gb * CARD_GB_BYTES


def by_gpu(memory: list[StageMemory], deployment: Deployment) -> list[int]:
    """The sum on each GPU."""
    return [sum(m.total for m in memory if m.stage.gpu == gpu) for gpu in range(deployment.gpus)]


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f}" if count >= 1e9 or count == 0 else f"{math.ceil(count / 1e7) / 100:.2f}"
