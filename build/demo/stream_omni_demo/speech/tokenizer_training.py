"""The stage "speech_tokenizer": units that tell what was said, whoever says it, and can be spoken again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stream_omni_demo.judge import word_error_rate
from stream_omni_demo.loop import Losses
from stream_omni_demo.speech.tokenizer_batches import Heard, HeardMaker, Letters
from stream_omni_demo.speech.tokenizer_heads import (
    SPELLING_RATE,
    HeadSizes,
    ListeningHead,
    SpeakingHead,
    imitation_loss,
    speaking_loss,
    spelling_loss,
)
from stream_omni_demo.speech.tokenizer_network import SpeechTokenizer, TokenizerSizes
from stream_omni_demo.voices.batches import LengthBatches
from stream_omni_demo.voices.corpus import Corpus, Utterance

_MEASURED_ROWS = 16
_IMITATION = 2.0  # of its loss, next to the others'


class TokenizerLearner(nn.Module):
    def __init__(self, sizes: TokenizerSizes, heads: HeadSizes) -> None:
        super().__init__()
        self.tokenizer = SpeechTokenizer(sizes)
        self.listening, self.speaking = ListeningHead(heads), SpeakingHead(heads)

    def losses(self, heard: Heard) -> Losses:
        codes = self.tokenizer.codes(heard.feats, heard.feats_length)
        spelled, imitated = self.listening(codes)
        found = {
            "spelling": spelling_loss(spelled, heard.units, heard.letters, heard.letter_counts),
            "imitating": imitation_loss(imitated, heard.taught, heard.is_taught) * _IMITATION,
        }
        if len(heard.spoken):
            found["speaking"] = speaking_loss(self.spoken(codes, heard), heard.mel, heard.frames)
        return found

    def spoken(self, codes: Tensor, heard: Heard) -> Tensor:
        """The mel [S, channels, F]."""
        mel: Tensor = self.speaking(codes[heard.spoken], heard.left, heard.right, heard.weight)
        return mel


class TokenizerTraining:
    """``losses(step)`` of one batch, a function of the step's number."""

    def __init__(self, learner: TokenizerLearner, corpus: Corpus, maker: HeardMaker, rows: int, seed: int) -> None:
        self._learner, self._corpus, self._maker, self._seed = learner, corpus, maker, seed
        self._batches = LengthBatches(corpus.lengths_s(), rows, seed)

    def losses(self, step: int) -> Losses:
        self._learner.train()
        return self._learner.losses(self._heard(step))

    def calibrate(self, steps: range) -> None:
        """Fix how the latents are centred and stretched, which in training each batch decided for itself."""
        spread = self._learner.tokenizer.spread
        spread.reset_running_stats()
        spread.momentum = None  # the plain mean of what comes
        self._learner.train()
        with torch.no_grad():
            for step in steps:
                heard = self._heard(step)
                self._learner.tokenizer.codes(heard.feats, heard.feats_length)
        self._learner.eval()

    def _heard(self, step: int) -> Heard:
        generator = np.random.default_rng((self._seed, step))
        return self._maker.augmented([self._corpus[i] for i in self._batches.at(step)], generator)


def measure(
    learner: TokenizerLearner,
    utterances: Sequence[Utterance],
    maker: HeardMaker,
    surroundings: np.random.Generator | None = None,
) -> dict[str, float]:
    """Of held-out utterances, in ``surroundings`` or as they are: letters and words that the spelling head gets wrong,
    for each that was said; mean absolute error of the speaking head's mel, of the voice that
    answers; and how many units are in use, counted as if
    all were used alike (the perplexity)."""
    learner.eval()
    said, spelled, errors = [], [], []
    used = np.zeros(learner.tokenizer.quantizer.units)
    ordered = sorted(utterances, key=lambda utterance: utterance.length)
    for begin in range(0, len(ordered), _MEASURED_ROWS):
        part = ordered[begin : begin + _MEASURED_ROWS]
        heard = maker.augmented(part, surroundings) if surroundings else maker.clean(part)
        with torch.no_grad():
            units = learner.tokenizer(heard.feats, heard.feats_length).numpy()
            codes = learner.tokenizer.codes(heard.feats, heard.feats_length)
            best = learner.listening(codes)[0].argmax(-1).numpy()
            if len(heard.spoken):
                errors.append(float(speaking_loss(learner.spoken(codes, heard), heard.mel, heard.frames)))
        for row, count in enumerate(heard.units.tolist()):
            spelled.append(Letters.heard(best[row, : SPELLING_RATE * count]))
            used += np.bincount(units[row, :count], minlength=used.size)
        said += [utterance.text for utterance in part]
    shares = used[used > 0] / used.sum()
    return {
        "letter_error": word_error_rate(*(list(map(_apart, texts)) for texts in (said, spelled))),
        "word_error": word_error_rate(said, spelled),
        "mel_error": float(np.mean(errors)) if errors else float("nan"),
        "units_in_use": float(np.exp(-(shares * np.log(shares)).sum())),
    }


def _apart(text: str) -> str:
    """Each letter a word."""
    return " ".join(letter for letter in text if letter.isalpha())
