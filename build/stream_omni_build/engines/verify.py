"""Does an engine compute what ONNX Runtime computed in fp32? If not, the stage is built again in a higher precision.

Errors are relative root mean squares: |found - expected| / |expected|, over all of an output: in all calls together and
in the worst of them. Of labels, the share that differs. An output that is not finite fails whatever its error would be.

What a stack of Llama layers may be off by is no number, since it depends on the checkpoint: it is a multiple of what a
plain forward pass is off by, in the same precision and on the same calls (:mod:`stream_omni_build.plain_llama`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

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
LABELS_DIFFERING = 0.02
# Llama's stacks below fp32: times what the plain forward pass is off by in all calls and in the worst one, or LEAST
# where that is next to nothing. Rounding has luck: the plain pass itself, its weights changed by less than bf16 can
# tell, was off by up to 2.0 times as much in all calls and 2.9 times in the worst one, our graphs by 1.9 and 3.2 times
# (a call may be of one position). Of networks that are wrong in one place, docs/engines.md has how far beyond they are.
TIMES_PLAIN, TIMES_PLAIN_IN_A_CALL, LEAST = 2.5, 4.0, 1e-2
# and never more than this, of outputs and of labels, whatever the plain pass loses
MOST = {"fp16": (0.03, 0.05), "bf16": (0.25, 0.25), "int8": (0.35, 0.4), "fp8": (0.5, 0.6)}


class VerifyError(BuildFailure):
    """A stage is wrong even in fp32."""


class Runner(Protocol):
    """An engine that is ready to run: TensorRT's on a GPU, or its graph on a CPU."""

    def run(self, inputs: Values) -> Values:
        """``inputs`` by name, caches among them; all outputs by name. Floating-point arrays are float32 on both sides,
        whatever the engine holds them in."""
        ...


class Off(NamedTuple):
    """By how much an output is off: in all calls ``together``, and in the ``worst`` of them."""

    together: float
    worst: float


@dataclass(frozen=True)
class Check:
    """What the comparison found, by output: the largest error of all calls; and what is beyond its tolerance."""

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
    graph: str, precision: str, runner: Runner, calls: Iterable[Call], lost: Mapping[str, Off] | None = None
) -> Check:
    """Run all calls. An error beyond the tolerance, or a number that is not finite, is a fault. ``lost``: of a stack of
    Llama layers, by output, what the plain forward pass is off by in this precision."""
    sums, broken = _run(runner, calls)
    errors = {name: made.off() for name, made in sums.items()}
    faults = [f"{graph}: {name} has {count} numbers that are not finite" for name, count in broken.items()]
    for name, off in errors.items():
        if name not in broken:
            allowed = tolerance(graph, precision, name, sums[name].are_labels, lost or {})
            where = zip(("off", "off in one call"), off, allowed, strict=True)
            beyond = [f"{what} by {error:.2g}, {most:g} is allowed" for what, error, most in where if not error <= most]
            faults += [f"{graph}: {name} is {' and '.join(beyond)}"] if beyond else []
    return Check({name: off.worst for name, off in errors.items()}, tuple(faults))


def errors_of(runner: Runner, calls: Iterable[Call]) -> dict[str, Off]:
    """By output."""
    return {name: made.off() for name, made in _run(runner, calls)[0].items()}


def tolerance(graph: str, precision: str, output: str, are_labels: bool, lost: Mapping[str, Off]) -> Off:
    """The most that an output may be off by. Labels in one call: any, since a call may have one only."""
    if output in lost:
        most, labels = MOST[precision]
        together = max(LEAST, TIMES_PLAIN * lost[output].together)
        if are_labels:
            return Off(min(LABELS_DIFFERING + together, labels), 1.0)
        return Off(min(together, most), min(max(LEAST, TIMES_PLAIN_IN_A_CALL * lost[output].worst), most))
    if are_labels:
        return Off(LABELS_DIFFERING, 1.0)
    return Off(math.inf, OWN_TOLERANCE.get(graph, TOLERANCE)[precision])


@dataclass
class _Sums:
    """Of an output: squares of what it is off by and of what it is; of labels, how many differ, and how many it has."""

    are_labels: bool
    off_by: float = 0.0
    size: float = 0.0
    worst: float = 0.0

    def add(self, found: Array, expected: Array) -> None:
        if found.shape != expected.shape:
            self.off_by = self.worst = float("inf")
            return
        if self.are_labels:  # the two best: the best one counts
            off_by, size = float((found[..., 0] != expected[..., 0]).sum()), float(expected[..., 0].size)
        else:
            off_by = float(((found.astype(np.float64) - expected) ** 2).sum())
            size = float((expected.astype(np.float64) ** 2).sum())
        self.off_by, self.size = self.off_by + off_by, self.size + size
        self.worst = max(self.worst, self._ratio(off_by, size))

    def off(self) -> Off:
        return Off(self._ratio(self.off_by, self.size), self.worst)

    def _ratio(self, off_by: float, size: float) -> float:
        return off_by / max(size, 1.0) if self.are_labels else (off_by / max(size, 1e-24)) ** 0.5


def _run(runner: Runner, calls: Iterable[Call]) -> tuple[dict[str, _Sums], dict[str, int]]:
    """By output: what it is off by, and how many of its numbers are not finite, where there are any."""
    sums: dict[str, _Sums] = {}
    broken: dict[str, int] = {}
    for call in calls:
        found = runner.run(call.inputs)
        for name, expected in call.outputs.items():
            if count := _not_finite(found[name]):
                broken[name] = broken.get(name, 0) + count
                continue
            made = sums.setdefault(name, _Sums(not np.issubdtype(expected.dtype, np.floating)))
            made.add(found[name], expected)
    return sums, broken


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
