"""What each precision loses in Llama's stacks, whoever computes it: the table in docs/engines.md.

    python -m tests.build.engines.rounding --checkpoint DIR --cosyvoice DIR

Two turns are recorded as a build records them, in fp32; then every call runs through a plain forward pass
(stream_omni_build/plain_llama.py), through PyTorch as gpu-torch serves it, through the engine's graph with the rounding
of its precision, and through networks that are wrong in one place. Errors are those of engines/verify.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stream_omni_build.build import Sources
from stream_omni_build.deployment import read_deployment
from stream_omni_build.engines.emulation import EmulatedRunner
from stream_omni_build.engines.engine_graph import write_engine_graph
from stream_omni_build.engines.recording import Values, new_rows
from stream_omni_build.engines.verify import Off, Runner, errors_of, tolerance
from stream_omni_build.engines.workshop import Workshop
from stream_omni_build.engines.yardstick import SessionRunner, lost_in
from stream_omni_build.gpu_build import write_small_files
from stream_omni_build.plain_llama import STACKS
from stream_omni_build.progress import silent

from stream_omni.assets import Assets
from stream_omni.checkpoint import open_sources, read_model_info
from stream_omni.graphs import Graph, graphs
from stream_omni.runtime.device_session import OnDevice
from stream_omni.runtime.torch_runtime import Device, TorchRuntime, TorchSession, type_of
from tests.build.engines.wrong_engines import WRONG

PRECISIONS = ("bf16", "fp16", "int8", "fp8")


class DeviceRunner:
    """PyTorch as gpu-torch serves it, on plain memory, with caches in its own type."""

    def __init__(self, session: OnDevice, graph: Graph, dtype: torch.dtype) -> None:
        self._session, self._graph, self._dtype = session, graph, dtype

    def run(self, inputs: Values) -> Values:
        memory = self._session.memory
        caches = [memory.put(inputs[name].copy(), self._dtype) for name in self._graph.cache_names()]
        found = self._session.run({tensor.name: inputs[tensor.name] for tensor in self._graph.inputs}, caches)
        made = {name: memory.fetch(v) if isinstance(v, torch.Tensor) else v for name, v in found.items()}
        for name, cache in zip(self._graph.new_cache_names(), caches, strict=True):
            made[name] = new_rows(memory.fetch(cache), inputs["positions"])
        return made


@dataclass
class Recorded:
    """A checkpoint's two recorded turns, and all that runs them again."""

    workshop: Workshop
    checkpoint: Path
    cosyvoice: Path

    @classmethod
    def make(cls, checkpoint: Path, cosyvoice: Path, out: Path) -> Recorded:
        deployment = read_deployment("gpu-1")
        llm = dataclasses.replace(deployment.stages["llm"], engine="tensorrt")
        deployment = dataclasses.replace(deployment, stages={**deployment.stages, "llm": llm})
        info, tensors = read_model_info(checkpoint, cosyvoice), open_sources(checkpoint, cosyvoice)
        write_small_files(Sources(checkpoint, cosyvoice), deployment, info, tensors, out)
        workshop = Workshop(info, tensors, deployment, {}, out, silent())
        workshop.begin()
        workshop.record(Assets.load(out))
        return cls(workshop, checkpoint, cosyvoice)

    def graph(self, name: str) -> Graph:
        return graphs(self.workshop.info)[name]

    def lost(self, name: str, precision: str) -> dict[str, Off]:
        """By the plain forward pass."""
        tensors = self.workshop.sources["model"]
        return lost_in(precision, self.graph(name), self.workshop.info, tensors, self.workshop.recorded(name))

    def errors(self, name: str, runner: Runner) -> dict[str, Off]:
        return errors_of(runner, self.workshop.recorded(name))

    def on_torch(self, name: str, precision: str) -> Runner:
        runtime = TorchRuntime(self.checkpoint, self.cosyvoice, Device("cpu", type_of(precision)), self.workshop.info)
        session = runtime.session(name)
        assert isinstance(session, OnDevice)
        return DeviceRunner(session, self.graph(name), type_of(precision))

    def engine(self, name: str, precision: str) -> Runner:
        folder = self.workshop.work / "measured"
        return EmulatedRunner(
            write_engine_graph(self.graph(name), self.workshop.info, precision, self.workshop.sources, folder, silent())
        )

    def wrong(self, name: str, what: str, layer: int) -> Runner:
        """In fp32, wrong in one place."""
        session: Any = TorchRuntime(self.checkpoint, self.cosyvoice, info=self.workshop.info).session(name)
        assert isinstance(session, TorchSession)
        WRONG[what](session._network, layer, self.workshop.info.llama)
        return SessionRunner(session, self.graph(name))

    def has_twin_heads(self, name: str) -> bool:
        """Whether the first and the last query head of the graph's first layer are the same."""
        session: Any = TorchRuntime(self.checkpoint, self.cosyvoice, info=self.workshop.info).session(name)
        weight, llama = session._network.get_parameter("stack.blocks.0.attention.qkv.weight"), self.workshop.info.llama
        last = (llama.heads - 1) * llama.head_size
        return torch.equal(weight[:, : llama.head_size], weight[:, last : last + llama.head_size])

    def layers(self, name: str) -> int:
        return self.graph(name).cache_layers

    def beyond(self, name: str, precision: str, errors: dict[str, Off], lost: dict[str, Off]) -> float:
        """The largest of the errors, in multiples of its tolerance."""
        allowed = {out: tolerance(name, precision, out, out == "ctc_ids", lost) for out in errors}
        return max(
            max(off.together / most.together, off.worst / most.worst)
            for off, most in zip(errors.values(), allowed.values(), strict=True)
        )


def shown(graph: Graph, errors: dict[str, Off]) -> str:
    """The worst of what a stage hands on, in all calls together, and in its worst call."""
    outputs = [errors[tensor.name] for tensor in graph.outputs if tensor.dtype == "float32"]
    return f"{max(off.together for off in outputs):.4f}, {max(off.worst for off in outputs):.4f}"


def rows(recorded: Recorded, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        graph = recorded.graph(name)
        for precision in PRECISIONS:
            lost = recorded.lost(name, precision)
            found = {"engine": recorded.errors(name, recorded.engine(name, precision))}
            if precision in ("bf16", "fp16"):
                found["torch"] = recorded.errors(name, recorded.on_torch(name, precision))
            worst = max(recorded.beyond(name, precision, errors, lost) for errors in found.values())
            cells = [shown(graph, errors) if errors else "" for errors in (lost, found.get("torch"), found["engine"])]
            yield f"| `{name}` | {precision} | {' | '.join(cells)} | {worst:.2f} |"


def wrong_rows(recorded: Recorded, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        lost = {precision: recorded.lost(name, precision) for precision in PRECISIONS}
        for what in WRONG:
            ends = (0, recorded.layers(name) - 1)
            errors = [recorded.errors(name, recorded.wrong(name, what, layer)) for layer in ends]
            cells = [
                f"{min(recorded.beyond(name, precision, e, lost[precision]) for e in errors):.1f}" for precision in lost
            ]
            of_ends = [shown(recorded.graph(name), e) for e in errors]
            yield f"| `{name}` | {what} | {' | '.join([*of_ends, *cells])} |"


def by_layer(recorded: Recorded, name: str, precision: str) -> Iterator[str]:
    found = {
        "plain": recorded.lost(name, precision),
        "torch": recorded.errors(name, recorded.on_torch(name, precision)),
        "engine": recorded.errors(name, recorded.engine(name, precision)),
    }
    for output in found["plain"]:
        yield (
            f"| {output} | "
            + " | ".join(f"{errors[output].together:.4f}, {errors[output].worst:.4f}" for errors in found.values())
            + " |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.build.engines.rounding")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--cosyvoice", type=Path, required=True)
    parser.add_argument("--graphs", default=",".join(STACKS), help="default: %(default)s")
    parser.add_argument("--layers", metavar="PRECISION", help="every output in this precision, layer by layer, instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # of tensors that nothing uses
    names = tuple(arguments.graphs.split(","))
    with tempfile.TemporaryDirectory(prefix="rounding-") as scratch:
        recorded = Recorded.make(arguments.checkpoint, arguments.cosyvoice, Path(scratch))
        if arguments.layers:
            for name in names:
                print(f"{name}, {arguments.layers}: | output | plain | torch | engine |")
                print("\n".join(by_layer(recorded, name, arguments.layers)), flush=True)
            return 0
        print("| graph | precision | plain | PyTorch | engine's graph | the worst, of its tolerance |")
        print("|---|---|---|---|---|---|")
        for row in rows(recorded, names):
            print(row, flush=True)
        print("\n| graph | wrong | first layer | last layer | " + " | ".join(f"times {p}'s" for p in PRECISIONS) + " |")
        print("|---|---|---|---|" + "---|" * len(PRECISIONS))
        for row in wrong_rows(recorded, names):
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
