"""The text backbone as a plain Hugging Face Llama directory, which TensorRT-LLM, vLLM and transformers load.

Its tensors are those of the checkpoint, under the same names and in the same precision, so their bytes are copied, a
block at a time: memory depends neither on the checkpoint nor on its largest tensor.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from stream_omni.checkpoint_files import CheckpointError
from stream_omni.model_info import LlamaSizes, ModelInfo
from stream_omni.tensor_files import CheckpointTensors, StoredTensor, value_bytes
from stream_omni.weights import Shapes, TensorSource
from stream_omni_build.progress import Progress
from stream_omni_build.weight_plan import NoSpaceError

SHARD_BYTES = 5_000_000_000
_BLOCK_BYTES = 16 << 20
_TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_INDEX = "model.safetensors.index.json"


def write_backbone(
    info: ModelInfo, tensors: TensorSource, out: Path, progress: Progress, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write ``out``: config.json, generation_config.json, the tokenizer's files, numbered shards and their index.

    ``tensors`` are a checkpoint's, single or sharded. Raises CheckpointError where one is missing, or in a precision
    that Llama is not loaded in, and NoSpaceError before anything large is written.
    """
    assert isinstance(tensors, CheckpointTensors)
    stored = _find(info, tensors)
    total = sum(_length(tensor) for tensor in stored.values())
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if total > free:
        raise NoSpaceError(f"{out} has {free / 1e9:.1f} GB free; the backbone needs {total / 1e9:.1f} GB")
    shards = _shards(stored, shard_bytes)
    files = {f"model-{i:05}-of-{len(shards):05}.safetensors": shard for i, shard in enumerate(shards, 1)}
    count = progress.counter("backbone", total)
    for name, shard in files.items():
        _write_shard(out / name, shard, count)
    places = {tensor: name for name, shard in files.items() for tensor in shard}
    _write_json(out / _INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))})
    kinds = {tensor.kind for tensor in stored.values()}
    _write_json(out / "config.json", llama_config(info, _TORCH_NAMES[kinds.pop()]))
    _write_json(out / "generation_config.json", {"bos_token_id": info.vocabulary.bos, "eos_token_id": _eos(info)})
    for name in _TOKENIZER_FILES:
        if (tensors.directory / name).is_file():
            shutil.copyfile(tensors.directory / name, out / name)


def backbone_shapes(info: ModelInfo) -> Shapes:
    """The tensors of a Llama of these sizes, in the order of the model."""
    llama, rows = info.llama, info.vocabulary.text_size
    found: Shapes = {"model.embed_tokens.weight": (rows, llama.hidden)}
    for layer in range(llama.llm_layers):
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in _layer_shapes(llama).items()}
    return found | {"model.norm.weight": (llama.hidden,), "lm_head.weight": (rows, llama.hidden)}


def _layer_shapes(llama: LlamaSizes) -> Shapes:
    hidden, wide, narrow = llama.hidden, llama.heads * llama.head_size, llama.kv_heads * llama.head_size
    return {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (wide, hidden),
        "self_attn.k_proj": (narrow, hidden),
        "self_attn.v_proj": (narrow, hidden),
        "self_attn.o_proj": (hidden, wide),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (llama.intermediate, hidden),
        "mlp.up_proj": (llama.intermediate, hidden),
        "mlp.down_proj": (hidden, llama.intermediate),
    }


def llama_config(info: ModelInfo, torch_name: str) -> dict[str, Any]:
    """config.json, with the rotary embedding as transformers has written it since Llama 3.1; version 5 reads it too."""
    llama, rope = info.llama, info.llama.rope
    scaling = None
    if rope.factor != 1.0:
        scaling = {
            "rope_type": "llama3",
            "factor": rope.factor,
            "low_freq_factor": rope.low_freq_factor,
            "high_freq_factor": rope.high_freq_factor,
            "original_max_position_embeddings": rope.original_positions,
        }
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": info.vocabulary.text_size,
        "hidden_size": llama.hidden,
        "intermediate_size": llama.intermediate,
        "num_hidden_layers": llama.llm_layers,
        "num_attention_heads": llama.heads,
        "num_key_value_heads": llama.kv_heads,
        "head_dim": llama.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": llama.rms_norm_eps,
        "rope_theta": rope.theta,
        "rope_scaling": scaling,
        "max_position_embeddings": max(info.context_tokens, rope.original_positions),
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": info.vocabulary.bos,
        "eos_token_id": _eos(info),
        "torch_dtype": torch_name,
    }


def _eos(info: ModelInfo) -> list[int]:
    return list(info.vocabulary.eos)


def _find(info: ModelInfo, tensors: CheckpointTensors) -> dict[str, StoredTensor]:
    held, wanted = tensors.shapes(), backbone_shapes(info)
    wrong = [f"{name} {list(shape)}" for name, shape in wanted.items() if held.get(name) != shape]
    if wrong:
        raise CheckpointError(f"{tensors.directory} lacks, or has in other shapes: {', '.join(wrong)}")
    found = {name: tensors.stored(name) for name in wanted}
    kinds = {stored.kind for stored in found.values()}
    if len(kinds) > 1 or not kinds <= _TORCH_NAMES.keys():
        raise CheckpointError(
            f"{tensors.directory} holds the language model's tensors as {', '.join(sorted(kinds))}; all must be of "
            f"one kind among {', '.join(_TORCH_NAMES)}"
        )
    return found


def _shards(stored: dict[str, StoredTensor], limit_bytes: int) -> list[dict[str, StoredTensor]]:
    """At most that long each, or of one tensor."""
    shards: list[dict[str, StoredTensor]] = [{}]
    filled = 0
    for name, tensor in stored.items():
        if shards[-1] and filled + _length(tensor) > limit_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += _length(tensor)
    return shards


def _length(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape) * value_bytes(tensor.kind)


def _write_shard(path: Path, shard: dict[str, StoredTensor], count: Callable[[int], None]) -> None:
    """A safetensors file: the length of its header, the header, and the values without gaps."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in shard.items():
        begin, end = end, end + _length(tensor)
        header[name] = {"dtype": tensor.kind, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8
    with path.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in shard.values():
            _copy(tensor, out, count)


def _copy(tensor: StoredTensor, out: IO[bytes], count: Callable[[int], None]) -> None:
    left = _length(tensor)
    with tensor.path.open("rb") as source:
        source.seek(tensor.offset)
        while left:
            block = source.read(min(left, _BLOCK_BYTES))
            if not block:  # the header promised more
                raise CheckpointError(f"{tensor.path} was shortened while it was read")
            out.write(block)
            left -= len(block)
            count(len(block))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
