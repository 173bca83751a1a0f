"""The 8B geometry's directories with all of their names, shapes and settings, and no values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from stream_omni_build import random_checkpoint, safetensors_writer
from stream_omni_build.random_checkpoint import DEFAULT_SEED, write_random_checkpoint
from stream_omni_build.random_sizes import REAL
from stream_omni_build.random_tensors import RandomTensor


def write_hollow_checkpoint(folder: Path) -> tuple[Path, Path]:
    """The language model's tensors are holes in sparse files; of CosyVoice's, each is one zero with strides of 0."""

    def no_values(tensor: RandomTensor, section: str, seed: int) -> Iterator[NDArray[np.float32]]:
        yield from ()

    def one_value(tensor: RandomTensor, section: str, seed: int) -> NDArray[np.float32]:
        return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), tensor.shape, [0] * len(tensor.shape))

    with (
        patch.object(safetensors_writer, "draw_blocks", no_values),
        patch.object(random_checkpoint, "draw", one_value),
        patch.object(random_checkpoint, "_require_space", lambda out, needed_bytes: None),
    ):
        language, cosyvoice = write_random_checkpoint(REAL, folder, DEFAULT_SEED)
    assert REAL.shard_bytes is not None
    for path in language.glob("*.safetensors"):
        with path.open("r+b") as file:
            file.truncate(REAL.shard_bytes)
    return language, cosyvoice
