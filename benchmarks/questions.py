"""What is asked: turns of known length, different for every stream and turn, the same in every run."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAMPLE_RATE_HZ = 16_000
_TEXT_TOKENS_A_SECOND = 5  # somewhat more than people speak


@dataclass(frozen=True)
class Question:
    """One request. Random checkpoints answer to the limit, so ``answer_s`` is how long they speak."""

    text: str | None = None
    audio: NDArray[np.float32] | None = None  # mono at SAMPLE_RATE_HZ
    picture: bytes | None = None
    output: str = "speech"
    task: str = "answer"
    answer_s: float = 10.0
    seed: int = 0

    @property
    def max_tokens(self) -> int:
        return max(4, round(self.answer_s * _TEXT_TOKENS_A_SECOND))

    @property
    def max_audio_ms(self) -> int:
        return round(self.answer_s * 1000)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """As the protocol names them, for the turn in process."""
        strings = {"task": self.task, "text": self.text, "output": self.output}
        found = {name: np.array([text.encode()], object) for name, text in strings.items() if text is not None}
        found |= {"max_tokens": np.array([self.max_tokens], np.int32), "seed": np.array([self.seed], np.uint64)}
        found["max_audio_ms"] = np.array([self.max_audio_ms], np.int32)
        if self.audio is not None:
            found |= {"audio": self.audio, "sample_rate": np.array([SAMPLE_RATE_HZ], np.int32)}
        if self.picture is not None:
            found["image"] = np.array([self.picture], object)
        return found


Ask = Callable[[int, int], Question]  # of a stream and its turn


def spoken(answer_s: float, picture: bool = False) -> Ask:
    """A question of 1 to 4 seconds that is answered aloud."""

    def ask(stream: int, turn: int) -> Question:
        generator = np.random.default_rng([stream, turn])
        audio = speech_like(generator, duration_s=float(generator.uniform(1, 4)))
        seed = 1000 * stream + turn
        return Question(audio=audio, picture=picture_of(generator) if picture else None, answer_s=answer_s, seed=seed)

    return ask


def mixed(answer_s: float) -> Ask:
    """All modes and tasks by turns; every fourth turn has a picture."""

    def ask(stream: int, turn: int) -> Question:
        number = stream + turn
        aloud = spoken(answer_s, picture=number % 4 == 3)(stream, turn)
        match number % 16:
            case 0 | 4 | 8 | 12:
                return replace(aloud, audio=None, text=f"Question {number}", output="text")
            case 1 | 5 | 9 | 13:
                return replace(aloud, audio=None, text=f"Question {number}")
            case 2 | 10:
                return replace(aloud, output="text")
            case 6:
                return replace(aloud, task="transcribe", output="text")
            case 14:
                return replace(aloud, audio=None, text=f"Sentence {number}.", task="speak")
        return aloud

    return ask


def speech_like(generator: np.random.Generator, duration_s: float) -> NDArray[np.float32]:
    """Syllables of harmonics, about four a second, with noise between them."""
    time_s = np.arange(int(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    pitch_hz = 120 + 40 * np.sin(2 * np.pi * generator.uniform(0.3, 0.7) * time_s)
    phase = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ * 2 * np.pi
    voiced = sum(np.sin(k * phase + generator.uniform(0, 6)) / k for k in range(1, 9))
    loudness = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    noise = generator.normal(0, 0.02, len(time_s))
    samples: NDArray[np.float32] = (0.2 * voiced * loudness + noise).clip(-1, 1).astype(np.float32)
    return samples


def picture_of(generator: np.random.Generator) -> bytes:
    """A JPEG of 640 x 480 with coloured rectangles."""
    pixels = np.full((480, 640, 3), generator.integers(0, 255, 3), np.uint8)
    for _ in range(12):
        (y, x), (height, width) = generator.integers(0, 400, 2), generator.integers(20, 240, 2)
        pixels[y : y + height, x : x + width] = generator.integers(0, 255, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
