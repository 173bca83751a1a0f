"""An ONNX graph to a TensorRT plan. One way for TensorRT 10.14, 11.4 and RTX: strongly typed networks, explicit
profiles, a plan that is streamed to its file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stream_omni_build.engines.shapes import Profile
from stream_omni_build.failures import BuildFailure

REPORT_EVERY_S = 5.0


class CompileError(BuildFailure):
    """TensorRT refused a graph, a profile or the build; the message holds its own words."""


def compile_plan(
    trt: Any,
    graph: Path,
    profiles: Sequence[Profile],
    plan: Path,
    workspace_bytes: int,
    say: Callable[[str], None],
    configure: Callable[[Any], None] | None = None,
    timing_cache: Path | None = None,
) -> None:
    """Compile ``graph`` (its weights beside it) for ``profiles`` into ``plan``, which appears when it is complete.

    ``workspace_bytes``: what a run, and a kernel while it is tried, may take beside inputs, outputs and weights.
    ``configure`` is shown the builder's configuration; ``timing_cache`` is a file that remembers which kernels were
    fastest, so that a build which was interrupted, or is repeated, does not try them all again. Raises CompileError.
    """
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)  # must outlive the build: it holds the weights
    if not parser.parse_from_file(str(graph)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        wrong = [f"{error.node_operator() or 'the graph'}: {error.desc()}" for error in errors]
        raise CompileError(f"{graph.name} does not parse: {'; '.join(wrong)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    config.progress_monitor = make_monitor(trt, graph.stem, say)
    _add_profiles(builder, network, config, profiles, graph.name)
    cache = _use_timing_cache(config, timing_cache)
    if configure:
        configure(config)
    partial = plan.with_suffix(".partial")
    with partial.open("wb") as file:
        made = builder.build_serialized_network_to_stream(network, config, make_writer(trt, file))
    if not made:
        partial.unlink()
        raise CompileError(f"{graph.name} was not compiled: {logger.words()}")
    if cache is not None and timing_cache is not None:
        timing_cache.write_bytes(cache.serialize())
    partial.rename(plan)


def _use_timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    # False: one of another GPU or version is refused, and begun anew
    if not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _add_profiles(builder: Any, network: Any, config: Any, profiles: Sequence[Profile], name: str) -> None:
    """Raises CompileError for a profile that does not describe the network's inputs."""
    inputs = {network.get_input(i).name for i in range(network.num_inputs)}
    for profile in profiles:
        missing = ", ".join(sorted(inputs - profile.inputs.keys()))
        if missing:
            raise CompileError(f"{name}: profile {profile.name} says nothing of {missing}")
        made_profile = builder.create_optimization_profile()
        for tensor, shapes in profile.inputs.items():
            if tensor in inputs:  # one that nothing reads has been left out
                made_profile.set_shape(tensor, *shapes)
        if config.add_optimization_profile(made_profile) < 0:
            raise CompileError(f"{name}: TensorRT refuses profile {profile.name}")


def make_logger(trt: Any) -> Any:
    """Keeps what TensorRT complains of, to be told if a build fails."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def words(self) -> str:
            return "; ".join(dict.fromkeys(self.errors)) or "TensorRT gave no reason"

    return Logger()


def make_monitor(trt: Any, what: str, say: Callable[[str], None]) -> Any:
    """Says every few seconds how far TensorRT's build is."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._said_s = time.monotonic()

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self._steps[name] = steps

        def step_complete(self, name: str, step: int) -> bool:
            if time.monotonic() - self._said_s >= REPORT_EVERY_S:
                self._said_s = time.monotonic()
                say(f"  compile {what}: {name}, step {step + 1} of {self._steps.get(name, 0)}")
            return True  # go on

        def phase_finish(self, name: str) -> None:
            self._steps.pop(name, None)

    return Monitor()


def make_writer(trt: Any, file: Any) -> Any:
    """A plan goes to its file piece by piece: one of 16 GB would otherwise be held in memory as well."""

    class Writer(trt.IStreamWriter):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)

        def write(self, data: Any) -> int:
            return int(file.write(data))

    return Writer()
