"""The stage "speech_tokenizer": what turns heard speech into units.

Its encoder is Whisper tiny.en's, which has heard more people than any corpus made here; what of it tells sounds apart,
and the codebook, are found from the demo's corpus, as it is said and in surroundings.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stream_omni.audio import SAMPLE_RATE_HZ, Samples, log_mel
from stream_omni_demo.checkpoint.folders import trained_speech_tokenizer
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.sizes import DEMO
from stream_omni_demo.speech.codebook import find_means, perplexity
from stream_omni_demo.speech.coded import as_said
from stream_omni_demo.speech.sounds import Heard, find_projection
from stream_omni_demo.speech.surroundings import augmentation
from stream_omni_demo.speech.tokenizer_export import agreement, round_matrices, write_tokenizer
from stream_omni_demo.speech.tokenizer_network import SpeechTokenizer, TokenizerSizes
from stream_omni_demo.speech.whisper_weights import whisper_encoder
from stream_omni_demo.trainee import Tensors
from stream_omni_demo.voices.corpus import Corpus
from stream_omni_demo.voices.stages import open_corpus

NAME = "speech_tokenizer"
_MEANS = "means"
_ANSWERS_SHARE = 0.25  # of the utterances: what is answered must be told well enough to be said again
_LEAST_UNITS_IN_USE = 200
_LEAST_AGREEMENT = 0.999
_LEAST_STABLE = 0.35
_COMPARED = 40  # utterances
_SAY_EVERY = 500  # utterances
_SMOKE_SIZES = TokenizerSizes(DEMO.units, width=32, heads=2, layers=1)


def make(workshop: Workshop) -> Measured:
    plan, corpus = workshop.plan, open_corpus(workshop)
    torch.manual_seed(plan.seed)
    if plan.synthesizers:
        network = SpeechTokenizer.of_whisper(whisper_encoder(), TokenizerSizes(DEMO.units))
    else:
        network = SpeechTokenizer(_SMOKE_SIZES)
    round_matrices(network)
    heard = _heard(network.eval(), workshop, corpus)
    projection = find_projection(heard, plan.tokenizer_steps, plan.seed, workshop.state(NAME), workshop.say)
    told = torch.cat([projection.of(each.moments) for each in heard])
    means = find_means(told, DEMO.units, plan.seed)
    network.set_codebook(means, projection)
    round_matrices(network)
    Tensors({_MEANS: means}).save(workshop.trained(NAME))
    path = trained_speech_tokenizer(workshop)
    write_tokenizer(network, path)
    held_out = list(corpus.select(split="held_out_sentence"))[:_COMPARED]
    agreed = np.mean([agreement(network, path, log_mel(utterance.samples(SAMPLE_RATE_HZ))) for utterance in held_out])
    return {
        "moments": len(told),
        "units_in_use": perplexity(torch.cdist(told[:: max(1, len(told) // 20_000)], means).argmin(1), DEMO.units),
        "agreement": float(agreed),
        "stable_in_noise": _stability(network, corpus, plan.seed),
    }


def open_codebook(workshop: Workshop) -> Tensor:
    """[units, width]: what each unit sounds like."""
    return Tensors.load(workshop.trained(NAME)).get(_MEANS).detach()


def _heard(network: SpeechTokenizer, workshop: Workshop, corpus: Corpus) -> list[Heard]:
    """Of utterances that are trained on: all as they are said, questions also in surroundings."""
    plan = workshop.plan
    generator, where = np.random.default_rng((plan.seed, 6)), augmentation(workshop, corpus)
    chosen = []
    for kind, share in (("answer", _ANSWERS_SHARE), ("question", 1 - _ANSWERS_SHARE)):
        part = [utterance for utterance in corpus.select(split="train") if utterance.kind == kind]
        chosen += [part[i] for i in generator.permutation(len(part))[: round(share * plan.tokenizer_utterances)]]
    found = []
    for number, utterance in enumerate(chosen, start=1):
        wave = as_said(utterance)
        waves = [wave] if utterance.kind == "answer" else [wave, where(wave, generator)]
        found += [Heard(utterance.text, _hear(network, each).half()) for each in waves]
        if number % _SAY_EVERY == 0 or number == len(chosen):
            workshop.say(f"{NAME}: heard {number} of {len(chosen)} utterances")
    return found


def _hear(network: SpeechTokenizer, wave: Samples) -> Tensor:
    feats = torch.from_numpy(log_mel(wave))[None]
    with torch.no_grad():
        return network.heard(feats, torch.tensor([feats.shape[2]]))[0]


def _stability(network: SpeechTokenizer, corpus: Corpus, seed: int) -> float:
    """The share of the units of held-out questions that are the same in noise, 20 dB below what is said."""
    generator, same = np.random.default_rng(seed), []
    for utterance in list(corpus.select(kind="question", split="held_out_sentence"))[:_COMPARED]:
        wave = as_said(utterance)
        noise = generator.standard_normal(wave.size).astype(np.float32) * np.float32(0.1 * np.sqrt(np.mean(wave**2)))
        units = [network.nearest(_hear(network, each)).argmax(-1) for each in (wave, wave + noise)]
        same.append((units[0] == units[1]).float().mean())
    return float(torch.stack(same).mean())


def gate(measured: Measured) -> str:
    least = {"units_in_use": _LEAST_UNITS_IN_USE, "agreement": _LEAST_AGREEMENT, "stable_in_noise": _LEAST_STABLE}
    return "; ".join(
        f"{name.replace('_', ' ')}: {measured[name]:.4g}, at least {most} must be"
        for name, most in least.items()
        if measured[name] < most
    )


STAGE = Stage(
    NAME,
    "a network that turns heard speech into units",
    make,
    gate,
    needs=("layout", "corpus"),
    amounts=("tokenizer_utterances", "tokenizer_steps", "synthesizers"),
)
