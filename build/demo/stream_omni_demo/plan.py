"""How much of everything: all amounts of a training, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    name: str
    seed: int = 0
    judged: bool = True  # whether a stage must pass its gate
    threads: int = 1  # of each training process; two stages can train side by side on two cores

    # The corpus of speech, in utterances
    synthesizers: bool = True  # False: in a voice of tones, so that no synthesizer need be installed
    corpus_processes: int = 2  # that speak side by side
    answers: int = 2500  # by the output voice: more than an hour, which a small vocoder and flow do not exhaust
    output_voice_questions: int = 500  # it asks too, so that its units are known from both
    questions: int = 6000  # by many voices: what a recogniser learns is limited by these
    held_out_answers: int = 150
    held_out_questions: int = 450  # in paraphrases that nothing was trained on, by voices that were
    held_out_voice_questions: int = 300


FULL = Plan("full")
# Two minutes for all stages: shows that every part runs, teaches nothing
SMOKE = Plan(
    "smoke",
    judged=False,
    synthesizers=False,
    corpus_processes=1,
    answers=24,
    output_voice_questions=4,
    questions=24,
    held_out_answers=4,
    held_out_questions=4,
    held_out_voice_questions=4,
)

PLANS = {plan.name: plan for plan in (FULL, SMOKE)}
