"""What tells letters apart is found among what does not, and counts alike in all directions."""

from __future__ import annotations

import torch
from stream_omni_demo.speech.sounds import Heard, find_projection, letters_of

WORDS = ("red", "blue", "green", "cat", "sun", "fish")
WIDTH, DIRECTIONS = 96, 64


def said(word: str, sounds: torch.Tensor, voice: torch.Tensor) -> Heard:
    """Three moments of each letter, in a voice that is much louder than any letter."""
    moments = sounds[letters_of(word)].repeat_interleave(3, 0) + voice
    return Heard(word, (moments + 0.1 * torch.randn_like(moments)).half())


def test_letters_are_told_apart_in_any_voice(tmp_path):
    torch.manual_seed(0)
    sounds = torch.randn(40, WIDTH)
    voices = 6 * torch.randn(20, WIDTH)
    heard = [said(word, sounds, voice) for word in WORDS for voice in voices]
    projection = find_projection(heard, 150, 0, tmp_path / "state", lambda line: None)
    assert projection.matrix.shape == (DIRECTIONS, WIDTH)
    told = torch.cat([projection.of(each.moments) for each in heard])
    torch.testing.assert_close(told.mean(0), torch.zeros(DIRECTIONS), atol=0.02, rtol=0)
    assert 0.5 < float(told.var(0).max()) < 1.1
    raw = torch.cat([each.moments.float() for each in heard])
    letters = torch.cat([torch.tensor(letters_of(each.text)).repeat_interleave(3) for each in heard])
    assert between(told, letters) > 3 * between(raw, letters)


def between(rows: torch.Tensor, classes: torch.Tensor) -> float:
    """The share of the variance of ``rows`` that lies between classes."""
    apart = rows - rows.mean(0)
    means = torch.stack([apart[classes == each].mean(0) for each in classes.unique()])
    counts = torch.stack([(classes == each).sum() for each in classes.unique()])
    return float((means.square().sum(1) * counts).sum() / apart.square().sum())


def test_what_is_no_letter_is_not_said():
    assert letters_of("Hi, I'm 7!") == letters_of("hi i'm ")
