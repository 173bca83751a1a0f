"""The stage "corpus": all speech that the others learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_omni_demo.judge import Judge, word_error_rate
from stream_omni_demo.pipeline import Measured, Stage, Workshop
from stream_omni_demo.voices.corpus import Corpus, Utterance
from stream_omni_demo.voices.recording import record
from stream_omni_demo.voices.script import parts_of

_JUDGED_UTTERANCES = 40  # of each kind
_LARGEST_WER = {"answers": 0.08, "questions": 0.15, "kept_out_voice": 0.08}
_QUIETEST_RMS, _LARGEST_PEAK = 0.02, 0.99


def open_corpus(workshop: Workshop) -> Corpus:
    return Corpus.open(workshop.folder / "corpus")


def make_corpus(workshop: Workshop) -> Measured:
    plan = workshop.plan
    corpus = record(parts_of(plan), workshop.folder / "corpus", plan.corpus_processes, workshop.say)
    answers, questions = corpus.select(kind="answer"), corpus.select(kind="question")
    measured = {
        "answers": len(answers),
        "answer_minutes": answers.seconds / 60,
        "questions": len(questions),
        "question_minutes": questions.seconds / 60,
        "voices": len(corpus.voices),
        "faulty": sum(map(_is_faulty, corpus)),
    }
    if plan.judged:
        judge = Judge(plan.threads)
        for name, part in _judged_parts(corpus).items():
            workshop.say(f"corpus: hearing {name.replace('_', ' ')}")
            measured[f"{name}_wer"] = _word_error_rate(judge, part, plan.seed)
    return measured


def _judged_parts(corpus: Corpus) -> dict[str, Corpus]:
    return {
        "answers": corpus.select(kind="answer"),
        "questions": corpus.select(kind="question", split="train"),
        "kept_out_voice": corpus.select(split="held_out_voice"),
    }


def _word_error_rate(judge: Judge, corpus: Sequence[Utterance], seed: int) -> float:
    chosen = np.random.default_rng(seed).permutation(len(corpus))[:_JUDGED_UTTERANCES]
    heard = [judge.transcribe(corpus[i].samples(corpus[i].rate_hz), corpus[i].rate_hz) for i in chosen]
    return word_error_rate([corpus[i].text for i in chosen], heard)


def _is_faulty(utterance: Utterance) -> bool:
    """Nearly silent, or clipped."""
    samples = utterance.samples(utterance.rate_hz)
    return bool(np.sqrt(np.mean(samples**2)) < _QUIETEST_RMS or np.abs(samples).max() > _LARGEST_PEAK)


def _gate(measured: Measured) -> str:
    rates = {name: (measured[f"{name}_wer"], largest) for name, largest in _LARGEST_WER.items()}
    faults = [
        f"{name.replace('_', ' ')}: {rate:.1%} of the words are heard wrong, and at most {largest:.0%} may be"
        for name, (rate, largest) in rates.items()
        if rate > largest
    ]
    if measured["faulty"]:
        faults.append(f"{measured['faulty']:.0f} utterances are nearly silent or clipped")
    return "; ".join(faults)


_AMOUNTS = (
    "synthesizers",
    "answers",
    "answers_of_words",
    "output_voice_questions",
    "questions",
    "held_out_answers",
    "held_out_questions",
    "held_out_voice_questions",
)
STAGES = (Stage("corpus", "speech of all voices", make_corpus, _gate, amounts=_AMOUNTS),)
