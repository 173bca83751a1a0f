"""Every tensor of a Stream-Omni checkpoint, with its name in the file, its shape and a spread that keeps a random
network's activations near one and its answers varied."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stream_omni.model_info import LlamaSizes, VisionSizes
from stream_omni_build.random_sizes import RandomSize
from stream_omni_build.random_tensors import RandomTensor, Rows
from stream_omni_build.random_tokenizer import TokenRoles

_TOWER = "model.vision_tower.vision_tower.vision_model."


def language_tensors(size: RandomSize, roles: TokenRoles) -> list[RandomTensor]:
    """The tensors of the language model's file(s), in their order there."""
    hidden, text, everything = size.llama.hidden, size.text_vocabulary, size.vocabulary
    return [
        RandomTensor("model.embed_tokens.weight", (text, hidden), 1.0),
        *_stack("model.layers", size.llama, size.llama.llm_layers),
        _gain("model.norm.weight", hidden),
        *_vision_tower(size.vision),
        _matrix("model.mm_projector.0.weight", hidden, size.vision.width, gain=1.5),
        _bias("model.mm_projector.0.bias", hidden),
        _matrix("model.mm_projector.2.weight", hidden, hidden, gain=1.5),
        _bias("model.mm_projector.2.bias", hidden),
        RandomTensor("model.image_newline", (hidden,), 1.0),
        *_stack("model.bottom_audio_layers", size.llama, size.llama.bottom_layers),
        RandomTensor("model.audio_embed_tokens.weight", (everything, hidden), 1.0),
        _gain("model.audio_norm.weight", hidden),
        _gain("model.top_audio_norm.weight", hidden),
        *_stack("model.top_audio_layers", size.llama, size.llama.top_layers, cross_attention=True),
        *_heads(size, roles),
        RandomTensor("text_to_audio_proj.weight", (everything, hidden), 1.0),
    ]


def _heads(size: RandomSize, roles: TokenRoles) -> Iterator[RandomTensor]:
    """The output heads. The argmax over equal rows would be noise from the whole vocabulary; so a few rows are larger:
    words, marks, blank, units, and the end (whose rows are zero where answers shall reach their limit: some other
    value is always above zero).
    """
    hidden, text = size.llama.hidden, size.text_vocabulary

    def head(name: str, rows: int, *larger: tuple[tuple[int, ...] | range, float]) -> RandomTensor:
        gains = tuple(Rows(ids, gain / math.sqrt(hidden)) for ids, gain in larger if ids)
        return _matrix(name, rows, hidden, gain=0.45, rows=gains)

    end = (roles.eot,)
    text_end, speech_end = (4.1, 1.75) if size.answers_end else (0.0, 0.0)
    others = tuple(set(roles.eos) - {roles.eot})
    yield head("lm_head.weight", text, (roles.words, 3.0), (roles.marks, 3.0), (others, 0.0), (end, text_end))
    yield head("audio_to_text_proj.weight", text, (roles.words, 3.0), (roles.marks, 2.5), ((roles.blank,), 9.0))
    yield head("audio_lm_head.weight", size.vocabulary, (roles.units, 1.5), (others, 0.0), (end, speech_end))


def _stack(prefix: str, sizes: LlamaSizes, layers: int, cross_attention: bool = False) -> Iterator[RandomTensor]:
    hidden, inner, narrow = sizes.hidden, sizes.intermediate, sizes.kv_heads * sizes.head_size
    for layer in (f"{prefix}.{i}." for i in range(layers)):
        yield from _attention(layer + "self_attn.", hidden, narrow)
        yield _matrix(layer + "mlp.gate_proj.weight", inner, hidden, gain=1.5)
        yield _matrix(layer + "mlp.up_proj.weight", inner, hidden, gain=1.5)
        yield _matrix(layer + "mlp.down_proj.weight", hidden, inner, gain=1.5)
        yield _gain(layer + "input_layernorm.weight", hidden)
        yield _gain(layer + "post_attention_layernorm.weight", hidden)
        if cross_attention:  # as many key and value heads as query heads
            yield from _attention(layer + "audio_text_attn.", hidden, hidden)


def _attention(prefix: str, hidden: int, narrow: int) -> Iterator[RandomTensor]:
    """Larger query and key matrices: attention that looks at some positions more than at others."""
    yield _matrix(prefix + "q_proj.weight", hidden, hidden, gain=2.2)
    yield _matrix(prefix + "k_proj.weight", narrow, hidden, gain=2.2)
    yield _matrix(prefix + "v_proj.weight", narrow, hidden, gain=1.5)
    yield _matrix(prefix + "o_proj.weight", hidden, hidden, gain=1.5)


def _vision_tower(sizes: VisionSizes) -> Iterator[RandomTensor]:
    """As in the real file: without the last layer and the pooling head, with a post_layernorm that nothing uses."""
    width, patch = sizes.width, sizes.patch_size_px
    fan_in = 3 * patch * patch
    yield RandomTensor(
        _TOWER + "embeddings.patch_embedding.weight", (width, 3, patch, patch), std=1.2 / math.sqrt(fan_in)
    )
    yield _bias(_TOWER + "embeddings.patch_embedding.bias", width)
    yield RandomTensor(_TOWER + "embeddings.position_embedding.weight", (sizes.patches, width), std=1.06)
    for layer in (f"{_TOWER}encoder.layers.{i}." for i in range(sizes.layers)):
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield _matrix(f"{layer}self_attn.{part}.weight", width, width, gain=1.2)
            yield _bias(f"{layer}self_attn.{part}.bias", width)
        yield from _layer_norm(layer + "layer_norm1", width)
        yield _matrix(layer + "mlp.fc1.weight", sizes.intermediate, width, gain=1.2)
        yield _bias(layer + "mlp.fc1.bias", sizes.intermediate)
        yield _matrix(layer + "mlp.fc2.weight", width, sizes.intermediate, gain=1.2)
        yield _bias(layer + "mlp.fc2.bias", width)
        yield from _layer_norm(layer + "layer_norm2", width)
    yield from _layer_norm(_TOWER + "post_layernorm", width)


def _matrix(name: str, height: int, width: int, gain: float, rows: tuple[Rows, ...] = ()) -> RandomTensor:
    return RandomTensor(name, (height, width), gain / math.sqrt(width), rows=rows)


def _gain(name: str, width: int) -> RandomTensor:
    return RandomTensor(name, (width,), 0.1, mean=1.0)


def _bias(name: str, width: int) -> RandomTensor:
    return RandomTensor(name, (width,), 0.05)


def _layer_norm(prefix: str, width: int) -> Iterator[RandomTensor]:
    yield _gain(prefix + ".weight", width)
    yield _bias(prefix + ".bias", width)
