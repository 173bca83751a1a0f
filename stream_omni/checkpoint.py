"""Reads a checkpoint: a Stream-Omni directory and, for speech, a CosyVoice directory beside it.

Sizes and special ids come from the directories' own files and from tensor shapes; ``data/reference.json`` stands in
for the few that a checkpoint may leave unsaid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from stream_omni.checkpoint_files import CheckpointError, Settings
from stream_omni.cosyvoice_checkpoint import open_flow, open_hift, read_cosyvoice
from stream_omni.image_merge import MERGE_TYPES
from stream_omni.image_tiles import REFUSED_RATIOS
from stream_omni.model_info import ImageLayout, LlamaSizes, ModelInfo, Rope, VisionSizes, Vocabulary
from stream_omni.tensor_files import CheckpointTensors, check_tensors, read_tensor_index
from stream_omni.weights import Shapes, TensorSource, host_tensors

# special id: (its token's name in the tokenizer, its key in config.json)
_SPECIAL_IDS = {
    "bos": ("<|begin_of_text|>", "bos_token_id"),
    "eot": ("<|eot_id|>", "eot_token_id"),
    "blank": ("<|reserved_special_token_0|>", "blank_token_id"),
}


def read_model_info(checkpoint: Path, cosyvoice: Path | None = None) -> ModelInfo:
    """What the directories describe. Raises CheckpointError, naming the file, the entry and what it must be."""
    if not checkpoint.is_dir():
        raise CheckpointError(f"{checkpoint} is no directory")
    config = Settings.read(checkpoint / "config.json")
    reference = _reference()
    shapes = {name: stored.shape for name, stored in read_tensor_index(checkpoint).items()}
    vision = _read_vision(checkpoint, config, reference)
    flow = vocoder = None
    voice = str(config.get("default_voice") or reference.get("default_voice"))
    if cosyvoice is not None:
        flow, vocoder, voices = read_cosyvoice(cosyvoice)
        if voice not in voices:
            voice = next(iter(voices))
    return ModelInfo(
        name=checkpoint.resolve().name,
        llama=_read_llama(config, shapes),
        vocabulary=_read_vocabulary(checkpoint, config, reference, shapes),
        vision=vision,
        image=read_image_layout(config.values, vision.image_size_px),
        context_tokens=config.integer("tokenizer_model_max_length", config.get("max_position_embeddings")),
        system_prompt=str(config.get("system_prompt") or reference.get("system_prompt")),
        flow=flow,
        vocoder=vocoder,
        default_voice=voice if cosyvoice is not None else "",
    )


def open_sources(
    checkpoint: Path, cosyvoice: Path | None = None, needed: Mapping[str, Shapes] | None = None
) -> dict[str, TensorSource]:
    """The directories' tensors: "model", and with CosyVoice "flow" and "hift" (see ``networks.SOURCE_OF``).

    ``needed`` are the tensors that graphs are made of; if it is None, those of the networks, which takes PyTorch.
    Raises one CheckpointError that lists every one that is missing or has another shape. Tensors that nothing needs are
    one warning.
    """
    sources: dict[str, TensorSource] = {"model": CheckpointTensors(checkpoint)}
    places = {"model": checkpoint}
    if cosyvoice is not None:
        sources |= {"flow": open_flow(cosyvoice), "hift": open_hift(cosyvoice)}
        places |= {"flow": cosyvoice / "flow.pt", "hift": cosyvoice / "hift.pt"}
    info = read_model_info(checkpoint, cosyvoice)
    if needed is None:
        from stream_omni.networks.needs import needed_tensors

        needed = needed_tensors(info)
    host = host_tensors(info)
    check_tensors({key: needed[key] | host.get(key, {}) for key in sources}, sources, places)
    return sources


def read_image_layout(config: Mapping[str, Any], tile_px: int) -> ImageLayout:
    """The three switches of ``config`` (config.json's content) for the layout of pictures; ``tile_px`` is the side of
    what the vision tower takes. Raises CheckpointError."""
    ratio, merge_type = config.get("image_aspect_ratio") or "square", config.get("mm_patch_merge_type") or "flat"
    if ratio in REFUSED_RATIOS or not MERGE_TYPES.fullmatch(str(merge_type)):
        wanted = "pad, square, anyres or anyres_max_N, with flat, spatial or spatial_unpad (with or without _nobase)"
        found = f"image_aspect_ratio {ratio} with mm_patch_merge_type {merge_type}"
        raise CheckpointError(f"config.json: {found} is not supported; use {wanted}")
    pinpoints = _read_pinpoints(config.get("image_grid_pinpoints"), tile_px)
    if str(ratio).startswith("anyres") and not pinpoints:
        raise CheckpointError(f"config.json: image_aspect_ratio {ratio} needs image_grid_pinpoints")
    return ImageLayout(str(ratio), str(merge_type), pinpoints)


def _read_pinpoints(value: Any, tile_px: int) -> tuple[tuple[int, int], ...]:
    """From [[width, height], ...], the same as a string, or a range of tile counts such as "(1x1),...,(6x6)"."""
    if isinstance(value, str):
        ends = [(int(w), int(h)) for w, h in re.findall(r"\((\d+)x(\d+)\)", value)]
        if ends:
            (first_w, first_h), (last_w, last_h) = ends[0], ends[-1]
            columns, rows = range(first_w, last_w + 1), range(first_h, last_h + 1)
            return tuple((tile_px * w, tile_px * h) for w in columns for h in rows)
    try:
        pairs = json.loads(value) if isinstance(value, str) else value or []
        return tuple((int(width), int(height)) for width, height in pairs)
    except (TypeError, ValueError) as error:
        wanted = '[[width, height], ...] in pixels or "(1x1),...,(6x6)"'
        raise CheckpointError(f"config.json: image_grid_pinpoints is {value!r}; it must be {wanted}") from error


def _reference() -> Settings:
    name = "data/reference.json"
    content = resources.files("stream_omni").joinpath(name).read_text(encoding="utf-8")
    return Settings(json.loads(content), f"stream_omni/{name}")


def _read_llama(config: Settings, tensors: Iterable[str]) -> LlamaSizes:
    config.require("hidden_act", "silu")
    config.require("attention_bias", False)
    config.require("mlp_bias", False)
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    return LlamaSizes(
        hidden=hidden,
        intermediate=config.integer("intermediate_size"),
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", heads),
        head_size=config.integer("head_dim", hidden // heads),
        bottom_layers=config.integer("num_bottom_audio_layers", _count_layers(tensors, "model.bottom_audio_layers")),
        llm_layers=config.integer("num_hidden_layers"),
        top_layers=config.integer("num_top_audio_layers", _count_layers(tensors, "model.top_audio_layers")),
        rms_norm_eps=config.number("rms_norm_eps"),
        rope=_read_rope(config),
    )


def _count_layers(tensors: Iterable[str], path: str) -> int:
    return len({name[len(path) + 1 :].partition(".")[0] for name in tensors if name.startswith(f"{path}.")})


def _read_rope(config: Settings) -> Rope:
    theta = config.number("rope_theta")
    values = config.get("rope_scaling")
    if values is None:
        return Rope(theta)
    scaling = Settings(values, f"{config.place}: rope_scaling")
    scaling.require("rope_type", "llama3")
    return Rope(
        theta,
        scaling.number("factor"),
        scaling.number("low_freq_factor"),
        scaling.number("high_freq_factor"),
        scaling.integer("original_max_position_embeddings"),
    )


def _read_vision(checkpoint: Path, config: Settings, reference: Settings) -> VisionSizes:
    """From the SigLIP folder that the checkpoint names and holds, else SigLIP-so400m's sizes."""
    config.require("mm_projector_type", "mlp2x_gelu")
    values, place = dict(reference.values["vision"]), f"{reference.place}: vision"
    path = checkpoint / str(config.get("mm_vision_tower")) / "config.json"
    if path.resolve().is_relative_to(checkpoint.resolve()) and path.is_file():
        tower = Settings.read(path).values
        values |= tower.get("vision_config", tower)  # a whole SigLIP's configuration holds the text tower's as well
        place = str(path)
    sizes = Settings(values, place)
    sizes.require("hidden_act", "gelu_pytorch_tanh")
    return VisionSizes(
        width=sizes.integer("hidden_size"),
        intermediate=sizes.integer("intermediate_size"),
        heads=sizes.integer("num_attention_heads"),
        layers=sizes.integer("num_hidden_layers") - 1,  # it counts the one that the reference deletes
        image_size_px=sizes.integer("image_size"),
        patch_size_px=sizes.integer("patch_size"),
        layer_norm_eps=sizes.number("layer_norm_eps"),
    )


def _read_vocabulary(
    checkpoint: Path, config: Settings, reference: Settings, shapes: Mapping[str, tuple[int, ...]]
) -> Vocabulary:
    size = config.integer("vocab_size")
    # the reference resizes these rows in training without always writing the number down
    rows, *_ = shapes.get("model.embed_tokens.weight") or (config.integer("text_vocab_size", size),)
    ids = _read_special_ids(checkpoint, config, reference)
    eos = _read_eos(checkpoint, config, reference)
    vocabulary = Vocabulary(
        size=size,
        text_size=rows,
        units=config.integer("audio_vocab_size"),
        eos=eos,
        **ids,
    )
    for name, found in (*ids.items(), *(("eos", i) for i in eos)):
        if not isinstance(found, int) or not 0 <= found < rows:
            raise CheckpointError(f"{checkpoint}: the {name} id {found!r} is no row of the text table ({rows} rows)")
    return vocabulary


def _read_eos(checkpoint: Path, config: Settings, reference: Settings) -> tuple[int, ...]:
    """generation_config.json may be absent; config.json then decides, as it does in transformers."""
    path = checkpoint / "generation_config.json"
    places = (Settings.read(path), config, reference) if path.is_file() else (config, reference)
    eos = next(value for place in places if (value := place.get("eos_token_id")) is not None)
    return tuple(eos) if isinstance(eos, list) else (eos,)


def _read_special_ids(checkpoint: Path, config: Settings, reference: Settings) -> dict[str, int]:
    """By token name from the tokenizer, else from config.json; the reference's where there is no tokenizer at all."""
    path = checkpoint / "tokenizer.json"
    tokens: dict[str, int] = {}
    if path.is_file():
        tokenizer = Settings.read(path)
        tokens = {token["content"]: token["id"] for token in tokenizer.get("added_tokens") or ()}
    found: dict[str, int] = {}
    for name, (token, key) in _SPECIAL_IDS.items():
        settings = (config,) if tokens else (config, reference)
        candidates = [tokens.get(token), *(s.get(key) for s in settings)]
        known = [i for i in candidates if i is not None]
        if not known:
            raise CheckpointError(f"{path} has no token {token}; name its id as {key} in {config.place}")
        found[name] = known[0]
    return found
