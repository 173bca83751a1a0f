"""The published model's sizes, for tables and estimates where no checkpoint is at hand: ``published_sizes.json``, which
a build writes as assets/model.json of a checkpoint of the real geometry (random_sizes.REAL)."""

from __future__ import annotations

from pathlib import Path

from stream_omni.model_info import ModelInfo

PUBLISHED_BYTES = 27_000_000_000  # of both checkpoints' files, as far as they are read; the hubs list the exact sizes
PATH = Path(__file__).with_suffix(".json")


def published_info() -> ModelInfo:
    return ModelInfo.load(PATH)
