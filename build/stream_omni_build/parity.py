"""Does an exported graph compute what its network computes?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stream_omni.graphs import Graph
from stream_omni.runtime.session import Array, Session
from stream_omni_build.parity_cases import Case

# Of the largest absolute value of the expected output, or of 1. In float32 the runtimes differ by their order of
# summation: about 1e-6 for small networks; 1e-4 is what the recorded cases are held to as well.
TOLERANCE = 1e-4


class ParityError(RuntimeError):
    """An exported graph differs from its network. Names the graph, the shape, the output and by how much."""


@dataclass(frozen=True)
class Parity:
    """What a check found: the shapes that it ran, and the largest error relative to the outputs' scale."""

    shapes: tuple[str, ...]
    largest_error: float


def check_graph(graph: Graph, expected: Session, exported: Session, cases: Iterable[Case]) -> Parity:
    """Runs both on all cases. Raises ParityError at the first difference beyond the tolerance."""
    shapes, largest = [], 0.0
    for case in cases:
        wanted_caches, found_caches = ([cache.copy() for cache in case.caches] for _ in range(2))
        wanted = expected.run(case.inputs, wanted_caches) | dict(zip(graph.cache_names(), wanted_caches, strict=True))
        found = exported.run(case.inputs, found_caches) | dict(zip(graph.cache_names(), found_caches, strict=True))
        for name, error in _errors(wanted, found):
            if not error <= TOLERANCE:  # as well for NaN
                raise ParityError(
                    f"graph {graph.name}, shape {case.shape}: {name} differs from the network's by {error:.2g} of its "
                    f"scale; {TOLERANCE:g} is allowed"
                )
            largest = max(largest, error)
        _check_untouched(graph, case, found_caches)
        shapes.append(case.shape)
    return Parity(tuple(shapes), largest)


def _errors(wanted: dict[str, Array], found: dict[str, Array]) -> Iterator[tuple[str, float]]:
    """For each output; ids are right or infinitely wrong."""
    for name, array in wanted.items():
        if found[name].shape != array.shape or found[name].dtype != array.dtype:
            yield name, np.inf
        elif array.dtype != np.float32:
            yield name, 0.0 if np.array_equal(array, found[name]) else np.inf
        else:
            scale = np.abs(array).max(initial=1.0)
            yield name, float(np.abs(found[name] - array).max(initial=0.0) / scale)


def _check_untouched(graph: Graph, case: Case, caches: list[Array]) -> None:
    """Only the run's own positions may have changed, to the bit: the others belong to the turn's past."""
    for name, before, after in zip(graph.cache_names(), case.caches, caches, strict=True):
        kept = np.ones((before.shape[0], before.shape[2]), bool)  # [B, S]
        np.put_along_axis(kept, case.written, False, axis=1)
        if not np.array_equal(before.swapaxes(1, 2)[kept], after.swapaxes(1, 2)[kept]):
            raise ParityError(f"graph {graph.name}, shape {case.shape}: {name} changed where nothing was written")
