"""Where the bottom stack begins: units that sound alike are embedded alike, and heads look some units back.

A word is heard from the dozen units before its end. From noise, a stack has to find out first that what is near
matters, and for each of the units anew what it sounds like; both are known here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stream_omni.model_info import ModelInfo
from stream_omni.networks.llama import rope_frequencies
from stream_omni_demo.trainee import Tensors

EMBEDDINGS = "model.audio_embed_tokens.weight"
_UNITS_BACK = ((1, 2, 4), (3, 6, 9), (5, 10, 16))  # of each layer's heads
_TURNS = 7  # the fastest rotations of a head: those that tell neighbours apart
_SHARPNESS = 6.0  # the score of the unit that a head looks for, and 0 on the average of all far from it
_BY_CONTENT = 0.5  # of what queries and keys are from noise
_COMPONENTS = 160  # of what units sound like
_OWN = 0.2  # of an embedding that is the unit's alone


def begin_hearing(info: ModelInfo, tensors: Tensors, means: Tensor, seed: int) -> None:
    """``means`` [units, width]: the codebook of the speech tokenizer."""
    generator = torch.Generator().manual_seed(seed)
    llama, vocabulary = info.llama, info.vocabulary
    sound = _direction(llama.hidden, generator)
    table = tensors.get(EMBEDDINGS).data
    units = table[vocabulary.unit_offset : vocabulary.unit_offset + vocabulary.units]
    units.mul_(_OWN).add_(_likenesses(means, llama.hidden, generator)).add_(sound)
    # what the first norm makes of the direction that all units share
    constant = sound / math.sqrt(llama.hidden / 2)
    frequencies = torch.tensor(rope_frequencies(llama.rope, llama.head_size))
    for layer in range(llama.bottom_layers):
        attention = f"model.bottom_audio_layers.{layer}.self_attn"
        query, key = (tensors.get(f"{attention}.{name}_proj.weight").data.mul_(_BY_CONTENT) for name in "qk")
        back = _UNITS_BACK[layer % len(_UNITS_BACK)]
        heads = torch.cat([_turned(back[i % len(back)], frequencies) for i in range(llama.heads)])
        query.add_(torch.outer(heads, constant))
        key.add_(torch.outer(_turned(0, frequencies).repeat(llama.kv_heads), constant))


def _turned(back: int, frequencies: Tensor) -> Tensor:
    """[head_size]: what is rotated to the same as :func:`_turned` of 0 is ``back`` positions before it."""
    turns = min(_TURNS, len(frequencies))
    size = math.sqrt(_SHARPNESS * math.sqrt(2 * len(frequencies)) / turns)  # the score is divided by sqrt(head_size)
    sizes = torch.where(torch.arange(len(frequencies)) < turns, size, 0.0)
    return torch.cat([sizes * torch.cos(-back * frequencies), sizes * torch.sin(-back * frequencies)])


def _likenesses(means: Tensor, hidden: int, generator: torch.Generator) -> Tensor:
    """[units, hidden] of about length 1, at distances as those of ``means``."""
    apart = means - means.mean(0)
    left, sizes, _ = torch.linalg.svd(apart, full_matrices=False)
    count = min(_COMPONENTS, hidden, len(sizes))
    components = left[:, :count] * sizes[:count]
    basis = torch.linalg.qr(torch.randn(hidden, count, generator=generator))[0]
    likenesses: Tensor = (components / components.square().sum(1).mean().sqrt()) @ basis.T
    return likenesses


def _direction(hidden: int, generator: torch.Generator) -> Tensor:
    """[hidden] of length 1."""
    drawn = torch.randn(hidden, generator=generator)
    direction: Tensor = drawn / drawn.norm()
    return direction
