"""What the profile gpu-torch asks of the host's processor when it starts:

    python -m benchmarks.torch_start

One layer of the 8B model's LLM, 436 MB in 2 bytes a value, is read as a stage reads it: its values are copied as the
file has them. Each stage follows by its bytes. The file is in the page cache, and nothing goes to a GPU: the disk comes
on top, and what the GPU does with the values, which nobody has measured. For comparison, what it would take to combine
them on the host.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from stream_omni_build.deployment import read_deployment
from stream_omni_build.gpu_memory import weight_bytes
from stream_omni_build.published_sizes import published_info
from stream_omni_build.random_tensors import RandomTensor
from stream_omni_build.safetensors_writer import write_model

from stream_omni.networks import make_network
from stream_omni.tensor_files import CheckpointTensors
from stream_omni.weights import Weight

LAYER = "stack.blocks.0."
TRIES = 3


def main() -> None:
    weights = [w for name, w in make_network("llm", published_info()).weights().items() if name.startswith(LAYER)]
    shapes = {name: shape for w in weights for name, shape in zip(w.sources, w.shapes, strict=True)}
    layer_bytes = 2 * sum(int(np.prod(shape)) for shape in shapes.values())
    with tempfile.TemporaryDirectory() as folder:
        tensors = [RandomTensor(name, shape, 0.02) for name, shape in shapes.items()]
        write_model(Path(folder), tensors, "float16", None, 0, lambda name, count: None)
        source = CheckpointTensors(Path(folder))
        copied = layer_bytes / _processor_s(lambda: _copy(weights, source))
        combined = layer_bytes / _processor_s(lambda: _combine(weights, source))
    print(
        f"a layer of {layer_bytes / 1e6:.0f} MB, one core: copied at {copied / 1e9:.2f} GB/s, combined on the host at"
    )
    print(f"{combined / 1e9:.2f} GB/s")
    for name, size in _stages().items():
        print(f"{name}: {size / 1e9:.1f} GB, copied in {size / copied:.0f} s, combined in {size / combined:.0f} s")


def _processor_s(work: Callable[[], None]) -> float:
    """The least of some tries, in the processor's time: others may use this machine."""
    took = []
    for _ in range(TRIES):
        began_s = time.process_time()
        work()
        took.append(time.process_time() - began_s)
    return min(took)


def _copy(weights: list[Weight], source: CheckpointTensors) -> None:
    """As networks.weights.load_on_device, where the device is memory of the host."""
    for weight in weights:
        for name in weight.sources:
            torch.from_numpy(source.stored(name).mapped()).clone()


def _combine(weights: list[Weight], source: CheckpointTensors) -> None:
    for weight in weights:
        torch.from_numpy(np.ascontiguousarray(weight.read(source))).to(torch.bfloat16)


def _stages() -> dict[str, int]:
    """Bytes of the stages, which are read at the same time, each by a process of its own."""
    stages = (stage for stage in read_deployment("gpu-torch").stages.values() if stage.engine == "torch")
    info = published_info()
    return {stage.name: sum(weight_bytes(info, graph, stage) for graph in stage.graphs) for stage in stages}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
