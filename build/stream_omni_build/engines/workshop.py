"""Makes and checks the engines of one stage after the other. Interrupted, it goes on behind the last complete stage."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stream_omni.assets import Assets
from stream_omni.graphs import graphs
from stream_omni.model_info import ModelInfo
from stream_omni.networks import SOURCE_OF
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.tensorrt_llm_engine import version_here
from stream_omni.weights import TensorSource
from stream_omni_build.deployment import Deployment, Stage
from stream_omni_build.engines.engine_graph import graph_file, weights_file, write_engine_graph
from stream_omni_build.engines.engine_manifest import (
    FOLDER,
    EngineManifest,
    FilePart,
    GraphRecord,
    StageRecord,
    Target,
    is_complete,
)
from stream_omni_build.engines.recording import FED_BY, STEPS, Call, Turns, load_calls, record_stage, save_calls
from stream_omni_build.engines.shapes import Profile, profiles
from stream_omni_build.engines.verify import Check, Runner, Settled, check_engine, settle
from stream_omni_build.engines.yardstick import lost_in
from stream_omni_build.export import write_graphs
from stream_omni_build.manifest import digest_file
from stream_omni_build.progress import Progress
from stream_omni_build.tensorrt_llm_build import engine_options

WORK = "work"  # of a build's directory: what is only of use while engines are made


class Maker(Protocol):
    """What turns a graph into an engine that can be run: TensorRT on a GPU."""

    def compile(self, name: str, graph: Path, profiles: list[Profile], plan: Path) -> None:
        """Raises CompileError."""
        ...

    def runner(self, name: str, graph: Path, plan: Path) -> Runner: ...


@dataclass
class Workshop:
    """``inputs``: what all graphs follow from, by which work is known to be of the same checkpoint and code."""

    info: ModelInfo
    sources: Mapping[str, TensorSource]
    deployment: Deployment
    inputs: Mapping[str, Any]
    out: Path
    progress: Progress
    _seconds: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.out / WORK / _key(self.inputs)[:16]

    def stages(self) -> list[Stage]:
        """Those that run engines of ours, in the order of their recording."""
        stages = self.deployment.stages
        return [stages[name] for name in STEPS if stages[name].engine == "tensorrt"]

    def begin(self) -> None:
        """Work of other inputs is of no use any more."""
        for folder in (self.out / WORK).glob("*"):
            if folder != self.work:
                shutil.rmtree(folder)
        self.work.mkdir(parents=True, exist_ok=True)

    def record(self, assets: Assets) -> None:
        """The calls that engines will be held to, and one stage's fp32 weights on the disk at a time."""
        folder = self.work / "recorded"
        folder.mkdir(exist_ok=True)
        stages = self.deployment.stages
        turns = Turns(assets, {}, min(2, self.deployment.turns), min(2, stages["vision_encoder"].batch))
        wanted = {stage.name for stage in self.stages()}
        wanted |= {before for stage in wanted for before in FED_BY.get(stage, ())}
        for stage in (stage for stage in STEPS if stage in wanted):
            values = folder / f"{stage}.values.npz"
            if not values.is_file():
                with self.progress.step(f"record {stage}"):
                    self._record(stage, turns, folder)
                    np.savez(values, **turns.values)  # last: it says that all is there
            with np.load(values) as found:
                turns.values = {name: found[name] for name in found.files}

    def _record(self, stage: str, turns: Turns, folder: Path) -> None:
        reference = self.work / "reference"
        names = self.deployment.stages[stage].graphs
        write_graphs(self.info, self.sources, reference, self.progress, names)
        for name, calls in record_stage(stage, turns, OnnxRuntime(reference)).items():
            save_calls(folder / f"{name}.npz", calls)
        shutil.rmtree(reference)

    def recorded(self, graph: str) -> list[Call]:
        return load_calls(self.work / "recorded" / f"{graph}.npz")

    def export(self, stage: Stage, precision: str) -> dict[str, Path]:
        """The stage's graphs in a precision, by name; what is there is not made again. Raises RangeError."""
        made = {}
        for name in stage.graphs:
            graph = graphs(self.info)[name]
            folder = self.work / "graphs"
            path = folder / graph_file(graph, precision)
            if not path.is_file():
                with self._timed(name, "export"), self.progress.step(f"export {name} in {precision}"):
                    write_engine_graph(graph, self.info, precision, self.sources, folder, self.progress)
            made[name] = path
        return made

    def make(self, stage: Stage, maker: Maker, target: Target) -> Settled:
        """Export, compile and check a stage, in higher precisions until it is right; write it into the manifest.

        Raises VerifyError or CompileError.
        """
        settled = settle(stage.name, stage.precision, lambda p: self._attempt(stage, p, maker), self.progress.say)
        self.save_record(self._describe(stage, settled, target), stage, target)
        for path in (path for name in stage.graphs for path in (self.work / "graphs").glob(f"{name}.*")):
            path.unlink()
        return settled

    def save_record(self, record: StageRecord, stage: Stage, target: Target) -> None:
        """Into the manifest, from which the engines of another machine are dropped."""
        manifest = EngineManifest.load(self.out)
        if manifest is None or manifest.target != target:
            manifest = EngineManifest(target, {})
        manifest.deployment = dataclasses.asdict(self.deployment)
        manifest.stages[stage.name] = record
        manifest.save(self.out)

    def is_made(self, stage: Stage, target: Target) -> bool:
        """Whether the manifest's engines of a stage are those that would be made."""
        manifest = EngineManifest.load(self.out)
        found = manifest.stages.get(stage.name) if manifest and manifest.target == target else None
        return found is not None and found.key == self.stage_key(stage, target) and is_complete(self.out, found)

    def _attempt(self, stage: Stage, precision: str, maker: Maker) -> dict[str, Check]:
        checks = {}
        (self.out / FOLDER).mkdir(exist_ok=True)
        for name, path in self.export(stage, precision).items():
            plan = self.out / FOLDER / f"{name}.plan"
            with self._timed(name, "compile"), self.progress.step(f"compile {name} in {precision}"):
                maker.compile(name, path, profiles(graphs(self.info)[name], self.info, self.deployment), plan)
            with self._timed(name, "verify"), self.progress.step(f"check {name}"):
                checks[name] = self._check(name, precision, maker.runner(name, path, plan))
        return checks

    def _check(self, name: str, precision: str, runner: Runner) -> Check:
        graph, calls = graphs(self.info)[name], self.recorded(name)
        lost = lost_in(precision, graph, self.info, self.sources[SOURCE_OF[name]], calls)
        return check_engine(name, precision, runner, calls, lost)

    def _describe(self, stage: Stage, settled: Settled, target: Target) -> StageRecord:
        records = {}
        for name, check in settled.checks.items():
            graph = graphs(self.info)[name]
            folder = self.work / "graphs"
            described = profiles(graph, self.info, self.deployment)
            records[name] = GraphRecord(
                graph=_part(folder / graph_file(graph, settled.precision)),
                weights=_part(folder / weights_file(graph, settled.precision)),
                plan=_part(self.out / FOLDER / f"{name}.plan"),
                profiles={p.name: {i: [list(shape) for shape in s] for i, s in p.inputs.items()} for p in described},
                errors=dict(check.errors),
                seconds=self._seconds.get(name, {}),
            )
        refused = [dataclasses.asdict(refused) for refused in settled.refused]
        key = self.stage_key(stage, target)
        return StageRecord(key, stage.gpu, stage.precision, settled.precision, refused, records)

    def stage_key(self, stage: Stage, target: Target) -> str:
        """Of all that a stage's engines follow from: not its GPU's number, nor how many instances run them."""
        return _key(
            {
                "inputs": self.inputs,
                "target": dataclasses.asdict(target),
                "engine": stage.engine,
                "precision": stage.precision,
                **self._shapes(stage),
            }
        )

    def _shapes(self, stage: Stage) -> dict[str, Any]:
        if stage.engine == "tensorrt-llm":  # makes nothing of our graphs, and a profile of its own
            return {"options": engine_options(self.deployment), "tensorrt_llm": version_here()}
        described = {name: profiles(graphs(self.info)[name], self.info, self.deployment) for name in stage.graphs}
        return {"profiles": {name: [dataclasses.asdict(p) for p in found] for name, found in described.items()}}

    @contextmanager
    def _timed(self, graph: str, what: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self._seconds.setdefault(graph, {})[what] = round(time.monotonic() - began_s, 1)


def _part(path: Path) -> FilePart:
    return FilePart(path.name, path.stat().st_size, digest_file(path))


def _key(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
