"""What must be computed and read, whoever does it: operations to the first unit, bytes of a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from stream_omni.graphs import WINDOW_TOKENS, graphs
from stream_omni.model_info import LlamaSizes, ModelInfo
from stream_omni.networks.screened_head import CANDIDATES

_FLOAT_BYTES = 4


def step_bytes(folder: Path, graph: str, info: ModelInfo, positions: int) -> int:
    """Bytes that one step of a single sequence reads: every weight of ``folder``/``graph``.onnx once, but of tables
    that are only looked up in one row a lookup, and the keys and values of the ``positions`` before it."""
    model = onnx.load(str(folder / f"{graph}.onnx"), load_external_data=False)
    lookups: dict[str, int] = {}
    products: set[str] = set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if node.op_type == "Gather" and place == 0:
                lookups[name] = lookups.get(name, 0) + _rows_looked_up(graph, name)
            else:
                products.add(name)
    total = 0
    for tensor in model.graph.initializer:
        size = int(np.prod(tensor.dims)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        looked_up = tensor.name in lookups and tensor.name not in products
        total += size // tensor.dims[0] * min(lookups[tensor.name], tensor.dims[0]) if looked_up else size
    llama = info.llama
    caches = 2 * graphs(info)[graph].cache_layers
    return total + caches * llama.kv_heads * llama.head_size * positions * _FLOAT_BYTES


def _rows_looked_up(graph: str, table: str) -> int:
    if table.endswith("head.rows"):
        return CANDIDATES
    return WINDOW_TOKENS if graph == "speech_top" else 1


def first_unit_operations(info: ModelInfo, spoken: int, picture: int, tiles: int, text_ids: int) -> int:
    """Floating-point operations (a multiplication and an addition are two) from a question to its first unit.

    ``spoken`` prompt positions without pictures, ``picture`` positions of pictures made from ``tiles``, ``text_ids``
    that the LLM makes before the first unit. Products of matrices only: all else is small.
    """
    llama, vocabulary, hidden = info.llama, info.vocabulary, info.llama.hidden
    heads = 2 * hidden * vocabulary.text_size
    bottom = _stack(llama, llama.bottom_layers, spoken) + 2 * spoken * heads  # CTC head, and soft embeddings
    prompt = spoken + picture
    text = _stack(llama, llama.llm_layers, prompt + text_ids - 1) + text_ids * heads
    top = _stack(llama, llama.top_layers, spoken) + _hearing(llama) + 2 * hidden * len(info.speech_ids)
    return bottom + text + top + tiles * _vision(info)


def _stack(llama: LlamaSizes, layers: int, positions: int) -> int:
    width, narrow = llama.heads * llama.head_size, llama.kv_heads * llama.head_size
    weights = llama.hidden * (2 * width + 2 * narrow + 3 * llama.intermediate)
    attention = 4 * width * positions * (positions + 1) // 2  # each position sees those before it and itself
    return layers * (2 * weights * positions + attention)


def _hearing(llama: LlamaSizes) -> int:
    """Cross-attention of one position to the text window: query and output once, keys and values of the window."""
    width = llama.heads * llama.head_size
    return llama.top_layers * (4 * llama.hidden * width * (1 + WINDOW_TOKENS) + 4 * width * WINDOW_TOKENS)


def _vision(info: ModelInfo) -> int:
    """Tower and projector, of one tile."""
    sizes, patches = info.vision, info.vision.patches
    layer = 2 * patches * sizes.width * (4 * sizes.width + 2 * sizes.intermediate) + 4 * patches**2 * sizes.width
    embedding = 2 * patches * 3 * sizes.patch_size_px**2 * sizes.width
    projector = 2 * patches * info.llama.hidden * (sizes.width + info.llama.hidden)
    return sizes.layers * layer + embedding + projector
