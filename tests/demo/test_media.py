"""What the demo ships to be asked about and to be tried is of its domain."""

from __future__ import annotations

import numpy as np
import soundfile
from PIL import Image
from stream_omni_demo.media import MEDIA
from stream_omni_demo.world.sampling import exchange_of
from stream_omni_demo.world.shipped import SCENE, shipped_picture


def test_the_picture_is_the_one_that_is_drawn() -> None:
    with Image.open(MEDIA / "picture.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(shipped_picture()))


def test_every_example_has_an_answer() -> None:
    questions = (MEDIA / "questions.txt").read_text(encoding="utf-8").splitlines()
    assert len(questions) >= 10
    for question in questions:
        assert exchange_of(question, SCENE) is not None, question


def test_the_question_is_short_and_loud_enough() -> None:
    samples, rate_hz = soundfile.read(MEDIA / "question.wav")
    assert rate_hz == 16000 and 1 < len(samples) / rate_hz < 4
    assert 0.5 < np.abs(samples).max() < 0.99
