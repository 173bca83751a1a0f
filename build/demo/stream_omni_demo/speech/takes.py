"""The output voice's speech as vocoder and flow learn it: what was said, its mel and its melody, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stream_omni.audio import Samples
from stream_omni.model_info import VocoderSizes
from stream_omni_demo.speech.coded import REST_S
from stream_omni_demo.speech.spectrum import log_mel
from stream_omni_demo.voices.corpus import Corpus, Split, Utterance
from stream_omni_demo.voices.pitch import fundamental_hz

_LAST_UNIT_S = 0.05  # an utterance's last unit may reach this far beyond it

_INDEX, _SAMPLES, _MEL, _F0 = "index.json", "samples.npy", "mel.npy", "f0.npy"


@dataclass(frozen=True, eq=False)
class Take:
    place: int  # of its utterance in the corpus
    split: Split
    samples: NDArray[np.int16]  # [hop * T], with a rest at the end
    mel: NDArray[np.float16]  # [T, 80]
    f0: NDArray[np.float32]  # [T], Hz; 0 where nothing vibrates

    @property
    def frames(self) -> int:
        return len(self.f0)


def output_voice(corpus: Corpus) -> list[int]:
    """Places in the corpus of what the voice says that answers, questions too."""
    voices = {utterance.voice for utterance in corpus if utterance.kind == "answer"}
    return [place for place, utterance in enumerate(corpus) if utterance.voice in voices]


def write_takes(corpus: Corpus, sizes: VocoderSizes, folder: Path, say: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    places, hop = output_voice(corpus), sizes.hop_samples
    samples, mels, melodies = [], [], []
    for count, place in enumerate(places, start=1):
        wave = _with_rest(corpus[place], sizes)
        samples.append(np.rint(wave * 32767).astype(np.int16))
        with torch.no_grad():
            mels.append(log_mel(torch.from_numpy(wave)[None], sizes)[0].T.to(torch.float16).numpy())
        melodies.append(fundamental_hz(wave, sizes.sample_rate_hz, hop))
        if count % 500 == 0 or count == len(places):
            say(f"takes: {count} of {len(places)} utterances")
    np.save(folder / _SAMPLES, np.concatenate(samples))
    np.save(folder / _MEL, np.concatenate(mels))
    np.save(folder / _F0, np.concatenate(melodies))
    index = {"hop_samples": hop, "places": places, "frames": [len(melody) for melody in melodies]}
    (folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")


def _with_rest(utterance: Utterance, sizes: VocoderSizes) -> Samples:
    wave = utterance.samples(sizes.sample_rate_hz)
    wave = np.pad(wave, (0, round((REST_S + _LAST_UNIT_S) * sizes.sample_rate_hz)))
    return wave[: wave.size // sizes.hop_samples * sizes.hop_samples]


def read_takes(folder: Path, corpus: Corpus) -> list[Take]:
    """In the order of the corpus. The arrays lie in mapped files."""
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    samples, mel, f0 = (np.load(folder / name, mmap_mode="r") for name in (_SAMPLES, _MEL, _F0))
    takes, begin, hop = [], 0, index["hop_samples"]
    for place, frames in zip(index["places"], index["frames"], strict=True):
        end = begin + frames
        takes.append(Take(place, corpus[place].split, samples[hop * begin : hop * end], mel[begin:end], f0[begin:end]))
        begin = end
    return takes


def of_split(takes: Sequence[Take], split: Split) -> list[Take]:
    return [take for take in takes if take.split == split]
