"""Safetensors files written as their tensors are drawn: memory is one block, however large the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stream_omni_build.random_tensors import RandomTensor, draw_blocks

_CODES = {"float32": "F32", "float16": "F16"}
SECTION = "model.safetensors"  # that of every shard: a tensor's values do not depend on the sharding


def write_model(
    folder: Path,
    tensors: Sequence[RandomTensor],
    dtype: str,
    shard_bytes: int | None,
    seed: int,
    report: Callable[[str, int], None],
) -> None:
    """``model.safetensors``, or with ``shard_bytes`` numbered shards and their index. A shard is at most that long, or
    holds one tensor. ``report`` is called with each file's name and the bytes just written.
    """
    shards = _shards(tensors, np.dtype(dtype).itemsize, shard_bytes)
    names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    if shard_bytes is None:
        names = ["model.safetensors"]
    for name, shard in zip(names, shards, strict=True):
        _write_file(folder / name, shard, dtype, seed, report)
    if shard_bytes is not None:
        total = sum(t.size for t in tensors) * np.dtype(dtype).itemsize
        where = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(tensors: Sequence[RandomTensor], value_bytes: int, limit: int | None) -> list[list[RandomTensor]]:
    shards: list[list[RandomTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        length = tensor.size * value_bytes
        if limit is not None and shards[-1] and filled + length > limit:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += length
    return shards


def _write_file(
    path: Path, tensors: Sequence[RandomTensor], dtype: str, seed: int, report: Callable[[str, int], None]
) -> None:
    """The format: length of the header (8 bytes, little endian), header, values without gaps."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin, value_bytes = 0, np.dtype(dtype).itemsize
    for tensor in tensors:
        end = begin + tensor.size * value_bytes
        header[tensor.name] = {"dtype": _CODES[dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for block in draw_blocks(tensor, SECTION, seed):
                values = block.astype(np.dtype(dtype).newbyteorder("<"), copy=False)
                file.write(values.data)
                report(path.name, values.nbytes)
