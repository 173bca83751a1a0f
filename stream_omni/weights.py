"""Where a network's parameters come from.

A network names its parameters as its graph needs them (query, key and value in one matrix, weight norm folded); a
checkpoint names them as training did. A :class:`Weight` is the way from one to the other for one parameter, so that
tensors can be read one at a time, and two graphs that need the same one can share it.

The functions that combine tensors take NumPy's arrays and PyTorch's tensors alike: files of weights are written without
PyTorch, while networks, in training too, are filled with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import ModelInfo

Array = Any  # of NumPy or of PyTorch
Shapes = dict[str, tuple[int, ...]]  # by tensor name

SOURCE_LINEAR = "m_source.l_linear"  # mixes the harmonics; the host's part of the vocoder


class TensorSource(Protocol):
    """Lazily read named tensors (a safetensors directory, a ``.pt`` file); always float32."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def get(self, name: str) -> NDArray[np.float32]: ...


def as_it_is(tensor: Array) -> Array:
    return tensor


def joined(first_scale: float, *tensors: Array) -> Array:
    """One after the other along the first axis; the first one multiplied by ``first_scale``."""
    first, *others = tensors
    first = first * first_scale if first_scale != 1.0 else first
    if not others:
        return first  # a lone one, such as a head of 2 GB, is not copied
    library = sys.modules[type(first).__module__.partition(".")[0]]
    return library.concatenate([first, *others])


def side_by_side(first_scale: float, *matrices: Array) -> Array:
    """Matrices [outputs_i, inputs] as one [inputs, sum of outputs]."""
    return joined(first_scale, *matrices).T


def chosen(rows: tuple[int, ...], matrix: Array) -> Array:
    """Some rows of a matrix [outputs, inputs] as [inputs, number of rows]."""
    return matrix[list(rows)].T


def as_matrix(kernel: Array) -> Array:
    """A convolution's kernel [outputs, ...] as [inputs, outputs]."""
    return kernel.reshape(len(kernel), -1).T


def scale_head_bias(scale: float, bias: Array) -> Array:
    """[heads, head_size] to [heads, 1, head_size], scaled."""
    return (bias * scale)[:, None]


def fold_weight_norm(gain: Array, direction: Array) -> Array:
    """The weight [outputs, inputs, kernel] of a weight-normed convolution; the norm runs over all axes but the first,
    transposed convolutions' too."""
    if isinstance(direction, np.ndarray):  # for a file, whose bytes may not hang on the order of a machine's sums
        direction = direction.astype(np.float64)
    flat = direction.reshape(len(direction), -1)
    return direction * (gain / ((flat * flat).sum(1) ** 0.5)[:, None, None])


_CODE_LIMIT = 63  # 7 bits: see networks.screened_head
_TINY = 1e-30  # instead of a division by zero


def screening_scales(rows: Array) -> Array:
    """What one step of a row's codes is worth: [outputs], of a head's rows [outputs, inputs]."""
    return np.maximum(np.abs(rows).max(1), np.float32(_TINY)) / np.float32(_CODE_LIMIT)


def screening_codes(rows: Array) -> Array:
    """The rows in their own steps, rounded: int8 [inputs, outputs]."""
    return np.rint(rows / screening_scales(rows)[:, None]).astype(np.int8).T


def screening_bounds(rows: Array) -> Array:
    """The largest norm of a row's codes, and of what rounding took from them, both in the row's steps: [2]."""
    steps = (rows / screening_scales(rows)[:, None]).astype(np.float64)
    codes = np.rint(steps)
    return np.sqrt([(codes**2).sum(1).max(), ((steps - codes) ** 2).sum(1).max()])


FORMS = {
    form.__name__: form
    for form in (
        as_it_is,
        joined,
        side_by_side,
        chosen,
        as_matrix,
        scale_head_bias,
        fold_weight_norm,
        screening_scales,
        screening_codes,
        screening_bounds,
    )
}


@dataclass(frozen=True)
class Weight:
    """``combine(*[source tensors])`` is the parameter; ``shapes`` are what the sources must have in the checkpoint.

    ``combine`` is one of :data:`FORMS` or a ``functools.partial`` of one with hashable arguments, so that it is known
    without reading which weights are equal, and can be written down.
    """

    sources: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    combine: Callable[..., Array] = as_it_is

    @property
    def form(self) -> tuple[str, tuple[Any, ...]]:
        """Of ``combine``: a name among :data:`FORMS`, and the arguments that come before the tensors."""
        combine = self.combine
        if isinstance(combine, partial):
            return combine.func.__name__, combine.args
        return combine.__name__, ()

    @property
    def identity(self) -> Hashable:
        """Equal for weights that hold equal bytes of one source; a ``functools.partial`` itself equals no other."""
        return self.sources, self.form

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the parameter, little-endian: float32 for all but codes."""
        return np.dtype("i1" if self.combine is screening_codes else "<f4")

    def read(self, tensors: TensorSource) -> NDArray[Any]:
        """Not contiguous where ``combine`` transposes: who writes it out in pieces is spared a whole copy."""
        return np.asarray(self.combine(*(tensors.get(name) for name in self.sources)), self.dtype)


def weight(source: str, *shape: int) -> Weight:
    """A parameter that the checkpoint has just so."""
    return Weight((source,), (shape,))


def host_tensors(info: ModelInfo) -> dict[str, Shapes]:
    """What is used outside of the networks: shapes by tensor name, for each tensor source."""
    needed: dict[str, Shapes] = {"model": {"model.image_newline": (info.llama.hidden,)}}
    if info.vocoder:
        needed["hift"] = {f"{SOURCE_LINEAR}.weight": (1, info.vocoder.harmonics), f"{SOURCE_LINEAR}.bias": (1,)}
    return needed
