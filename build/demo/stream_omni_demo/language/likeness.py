"""Where the language model begins: attention that finds what is like a word, and says it.

From noise it takes thousands of steps until any answer comes from the picture: what to look for, what to take from
there and how to say it teach it nothing one by one. So queries and keys begin as the same projection of what they are
made of, values are given back as they were, and the head knows the words' own embeddings (after Trockman and Kolter,
"Mimetic Initialization of Self-Attention Layers", 2023). All of it is trained on, but slowly: large steps undo it
before it is of use.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stream_omni.model_info import ModelInfo
from stream_omni_demo.trainee import Tensors

EMBEDDINGS = "model.embed_tokens.weight"
KEPT = (EMBEDDINGS,)  # as they began: what the vision tower says is made of them
_HEAD = "lm_head.weight"
_LIKENESS = 0.5  # of queries and keys: what is alike is looked at about ten times as much as what is not
_GIVEN_BACK = 0.15  # of what is looked at, by each head


def begin_alike(info: ModelInfo, tensors: Tensors, seed: int) -> None:
    """All layers and the head of a language model that nothing was learnt by yet."""
    generator = torch.Generator().manual_seed(seed)
    llama = info.llama
    group = llama.heads // llama.kv_heads
    for layer in range(llama.llm_layers):
        query, key, value, out = (
            tensors.get(f"model.layers.{layer}.self_attn.{name}_proj.weight").data for name in "qkvo"
        )
        for at in range(llama.kv_heads):
            looked_for, given = (_directions(llama.hidden, llama.head_size, generator) for _ in range(2))
            rows = slice(at * llama.head_size, (at + 1) * llama.head_size)
            key[rows], value[rows] = looked_for * _LIKENESS, given
            heads = slice(rows.start * group, rows.stop * group)
            query[heads] = looked_for.repeat(group, 1) * _LIKENESS
            out[:, heads] = given.T.repeat(1, group) * _GIVEN_BACK
    head = tensors.get(_HEAD).data
    head.copy_(tensors.get(EMBEDDINGS).data[: len(head)])


def _directions(hidden: int, count: int, generator: torch.Generator) -> Tensor:
    """[count, hidden], each of length 1, none like another."""
    directions: Tensor = torch.linalg.qr(torch.randn(hidden, count, generator=generator))[0].T
    return directions
