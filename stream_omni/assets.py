"""What a built directory holds beside the graphs: all that a turn needs which no network computes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_omni.model_info import ModelInfo
from stream_omni.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Assets:
    """``speakable`` bool [text vocabulary]; ``voices``: speaker embeddings [speaker size]; ``image_newline`` [H]."""

    info: ModelInfo
    tokenizer: Tokenizer
    speakable: NDArray[np.bool_]
    voices: dict[str, NDArray[np.float32]]
    image_newline: NDArray[np.float32]

    @classmethod
    def load(cls, artifacts: Path) -> Assets:
        """From ``artifacts``/assets, as ``stream-omni build`` wrote it. Raises FileNotFoundError."""
        directory = artifacts / "assets"
        voices = json.loads((directory / "voices.json").read_text(encoding="utf-8"))
        return cls(
            info=ModelInfo.load(directory / "model.json"),
            tokenizer=Tokenizer(directory),
            speakable=np.load(directory / "speakable.npy"),
            voices={name: np.array(values, np.float32) for name, values in voices.items()},
            image_newline=np.load(directory / "image_newline.npy"),
        )

    def speaker(self, voice: str) -> NDArray[np.float32]:
        """The embedding of a voice; ``default`` is the checkpoint's own. Raises KeyError for an unknown one."""
        return self.voices[self.info.default_voice if voice == "default" else voice]
