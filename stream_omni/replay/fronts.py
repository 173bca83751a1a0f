"""What a case records of the front ends: pictures up to the rows that enter the prompt, and log-mel features."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stream_omni.audio import SAMPLE_RATE_HZ, log_mel, resample
from stream_omni.checkpoint import read_image_layout
from stream_omni.image import decode_image
from stream_omni.image_merge import merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.model_info import ModelInfo
from stream_omni.replay.cases import Case
from stream_omni.runtime.session import Array, Runtime

_CORNER_PX = 24
_TILES_A_RUN = 4  # bounds memory: an anyres picture may have dozens


def observe_logmel(case: Case) -> dict[str, Any]:
    """The path of a spoken question up to the speech tokenizer."""
    samples, rate_hz = soundfile.read(case.sound(), dtype="float32")
    wav16k = resample(samples, rate_hz, SAMPLE_RATE_HZ)
    feats = log_mel(wav16k)
    frames = feats.shape[1]
    return {
        "n_samples": len(samples),
        "n_samples_16k": len(wav16k),
        "n_frames": frames,
        "expected_units": math.ceil(math.ceil(frames / 2) / 2),
        "wav16k": wav16k,
        "feats": feats,
    }


def observe_picture(
    picture: Path, layout: dict[str, Any], info: ModelInfo, runtime: Runtime, newline: Array
) -> dict[str, Any]:
    """Pixels, tower features and merged rows of a picture under the layout switches ``layout`` of config.json."""
    info = dataclasses.replace(info, image=read_image_layout(layout, info.vision.image_size_px))
    tiles = tile_image(decode_image(picture.read_bytes()), info.image, info.vision)
    encoder = runtime.session("vision_encoder")
    runs = [
        encoder.run({"pixels": tiles.pixels[i : i + _TILES_A_RUN]}) for i in range(0, len(tiles.pixels), _TILES_A_RUN)
    ]
    projected = np.concatenate([run["projected"] for run in runs])
    merged = merge_features(tiles, projected, newline, info.image)
    shown = tiles.pixels[[0] if len(tiles.pixels) == 1 else [0, -1]]
    last = runs[-1]["features"][-1]
    found: dict[str, Any] = {
        "image_size": list(tiles.size),
        "n_tiles": len(tiles.pixels),
        "n_image_tokens": len(merged),
        "pixel_shape": list(tiles.pixels.shape if tiles.grid is None else (1, *tiles.pixels.shape)),
        "pixel_mean": float(tiles.pixels.mean(dtype=np.float64)),
        "pixel_std": float(tiles.pixels.std(dtype=np.float64)),
        "pixel_sha256": hashlib.sha256(tiles.pixels.tobytes()).hexdigest(),
        "pixel_corner": shown[:, :, :_CORNER_PX, :_CORNER_PX],
        "merged_image_features": merged,
    }
    if tiles.grid is None:
        return {**found, "vision_features": last}
    return {**found, "vision_features_last_tile": last, "projected_features_last_tile": projected[-1]}


def observe_merge(case: Case, info: ModelInfo, runtime: Runtime, newline: Array) -> dict[str, Any]:
    """A ``vmerge`` case: the merged rows, all or those that it lists."""
    found = observe_picture(case.picture(), case.fields["image_config"], info, runtime, newline)
    merged = found["merged_image_features"]
    chosen = case.arrays.get("token_index")
    return {
        **found,
        "merged_mean": float(merged.mean(dtype=np.float64)),
        "merged_std": float(merged.std(dtype=np.float64)),
        "merged_image_features": merged if chosen is None else merged[chosen],
    }
