"""Does an engine compute what ONNX Runtime computed in fp32? If not, the stage is built again in a higher precision.

Errors are relative root mean squares: |found - expected| / |expected|, over all of an output. Of labels, the share that
differs. An output that is not finite fails whatever its error would be.

What a stack of Llama layers may be off by is no number, since it depends on the checkpoint: it is a multiple of what a
plain forward pass is off by, in the same precision and on the same calls (:mod:`stream_omni_build.plain_llama`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from stream_omni.runtime.session import Array
from stream_omni_build.engines.compile_plan import CompileError
from stream_omni_build.engines.recording import Call, Values
from stream_omni_build.engines.stored_weights import RangeError
from stream_omni_build.failures import BuildFailure

# what is tried, in this order, when a stage shall run in a precision
LADDER: dict[str, tuple[str, ...]] = {
    "fp8": ("fp8", "bf16", "fp32"),
    "int8": ("int8", "bf16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "bf16": ("bf16", "fp32"),
    "fp32": ("fp32",),
}
# Of floating-point outputs by precision, where a graph has no own row below. fp32 on a GPU multiplies in TF32.
TOLERANCE = {"fp32": 5e-3, "fp16": 1e-2, "bf16": 6e-2}
OWN_TOLERANCE: dict[str, dict[str, float]] = {
    # what it puts out is added up ten times and heard
    "flow_estimator": {"fp32": 5e-3, "fp16": 1e-2, "bf16": 4e-2},
    # phases wrap: a waveform differs where its cause hardly does
    "vocoder": {"fp32": 2e-2, "fp16": 5e-2, "bf16": 1.5e-1},
}
LABELS_DIFFERING = 0.02  # in fp32
# Llama's stacks below fp32: times what the plain forward pass is off by, or this much where it is hardly off
TIMES_PLAIN, LEAST = 1.5, 1e-2


class VerifyError(BuildFailure):
    """A stage is wrong even in fp32."""


class Runner(Protocol):
    """An engine that is ready to run: TensorRT's on a GPU, or its graph on a CPU."""

    def run(self, inputs: Values) -> Values:
        """``inputs`` by name, caches among them; all outputs by name. Floating-point arrays are float32 on both sides,
        whatever the engine holds them in."""
        ...


@dataclass(frozen=True)
class Check:
    """What the comparison found, by output: the largest error of all calls, and where numbers were not finite."""

    errors: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class Refused:
    """A precision that a stage was not built in, and why."""

    precision: str
    why: str


@dataclass(frozen=True)
class Settled:
    """A stage's precision, the checks of its graphs by name, and what was tried before."""

    precision: str
    checks: Mapping[str, Check]
    refused: tuple[Refused, ...]


def check_engine(
    graph: str, precision: str, runner: Runner, calls: Iterable[Call], lost: Mapping[str, float] | None = None
) -> Check:
    """Run all calls. An error beyond the tolerance, or a number that is not finite, is a fault. ``lost``: of a stack of
    Llama layers, by output, what the plain forward pass is off by in this precision (:func:`worst_errors`)."""
    errors: dict[str, float] = {}
    faults: dict[str, str] = {}
    for call in calls:
        found = runner.run(call.inputs)
        for name, expected in call.outputs.items():
            if broken := _not_finite(found[name]):
                faults[name] = f"{graph}: {name} has {broken} numbers that are not finite"
                continue
            errors[name] = max(errors.get(name, 0.0), error_of(found[name], expected))
            allowed = tolerance(graph, precision, name, expected, lost or {})
            if not errors[name] <= allowed and name not in faults:
                faults[name] = f"{graph}: {name} is off by {errors[name]:.2g}, {allowed:g} is allowed"
    return Check(errors, tuple(faults.values()))


def worst_errors(runner: Runner, calls: Iterable[Call]) -> dict[str, float]:
    """By output, the largest error of all calls."""
    errors: dict[str, float] = {}
    for call in calls:
        found = runner.run(call.inputs)
        for name, expected in call.outputs.items():
            errors[name] = max(errors.get(name, 0.0), error_of(found[name], expected))
    return errors


def tolerance(graph: str, precision: str, output: str, expected: Array, lost: Mapping[str, float]) -> float:
    if output in lost:
        return max(LEAST, TIMES_PLAIN * lost[output])
    if not np.issubdtype(expected.dtype, np.floating):
        return LABELS_DIFFERING
    return OWN_TOLERANCE.get(graph, TOLERANCE)[precision]


def error_of(found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    if not np.issubdtype(expected.dtype, np.floating):  # two best labels: the best one counts
        return float(np.mean(found[..., 0] != expected[..., 0]))
    difference = float(np.linalg.norm((found.astype(np.float64) - expected).ravel()))
    return difference / max(float(np.linalg.norm(expected.astype(np.float64).ravel())), 1e-12)


def _not_finite(found: Array) -> int:
    return int(np.size(found) - np.isfinite(found).sum()) if np.issubdtype(found.dtype, np.floating) else 0


def settle(
    stage: str, wanted: str, attempt: Callable[[str], Mapping[str, Check]], say: Callable[[str], None]
) -> Settled:
    """Build a stage in the precision that is wanted or, where that fails, in the next higher one.

    ``attempt`` builds all graphs of the stage in a precision and checks them (one precision for all, since loops share
    their caches' type); it may raise RangeError where weights do not fit, CompileError where the GPU has no such
    kernels. Raises VerifyError, or CompileError, when even fp32 fails.
    """
    refused: list[Refused] = []
    for precision in LADDER[wanted]:
        try:
            checks = attempt(precision)
        except (RangeError, CompileError) as error:
            if precision == LADDER[wanted][-1]:
                raise
            faults: Sequence[str] = [str(error)]
        else:
            faults = list(_faults(checks))
            if not faults:
                return Settled(precision, checks, tuple(refused))
        refused.append(Refused(precision, "; ".join(faults)))
        say(f"  {stage} is not built in {precision}: {refused[-1].why}")
    raise VerifyError(f"{stage} is wrong in every precision that was tried: {refused[-1].why}")


def _faults(checks: Mapping[str, Check]) -> Iterator[str]:
    for check in checks.values():
        yield from check.faults
