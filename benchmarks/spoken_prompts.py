"""A spoken question as both speech loops get it: units in the checkpoint's template, and the picture's rows."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks.questions import picture_of
from stream_omni.assets import Assets
from stream_omni.image_merge import merge_features
from stream_omni.image_tiles import tile_image
from stream_omni.prompt import Prompt, Question, build_prompt
from stream_omni.runtime.session import Array, Session


@dataclass(frozen=True, eq=False)
class SpokenPrompt:
    """``image``: of its one picture, if it has one."""

    prompt: Prompt
    image: Image.Image | None

    def pictures(self, vision_encoder: Session, assets: Assets) -> list[Array]:
        """The picture's rows [n, hidden], computed now."""
        if self.image is None:
            return []
        tiles = tile_image(self.image, assets.info.image, assets.info.vision)
        projected = vision_encoder.run({"pixels": tiles.pixels})["projected"]
        return [merge_features(tiles, projected, assets.image_newline, assets.info.image)]


def spoken_prompt(assets: Assets, units: int, picture: bool, seed: int) -> SpokenPrompt:
    """``units`` random speech units (25 a second)."""
    generator = np.random.default_rng(seed)
    asked = tuple(generator.integers(0, assets.info.vocabulary.units, units).tolist())
    prompt = build_prompt(assets.tokenizer, assets.info, Question(units=asked, pictures=int(picture)))
    return SpokenPrompt(prompt, Image.open(io.BytesIO(picture_of(generator))).convert("RGB") if picture else None)


def any_text(assets: Assets, count: int, seed: int) -> list[int]:
    """Random text ids that can be spoken and do not end the text."""
    vocabulary = assets.info.vocabulary
    words = np.flatnonzero(assets.speakable[: min(vocabulary.text_size, vocabulary.unit_offset)])
    words = words[~np.isin(words, (*vocabulary.eos, vocabulary.eot, vocabulary.blank))]
    found: list[int] = np.random.default_rng(seed).choice(words, count).tolist()
    return found
