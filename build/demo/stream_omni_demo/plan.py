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
    corpus_processes: int = 2  # that speak, and that listen, side by side
    answers: int = 2500  # by the output voice: more than an hour, which a small vocoder and flow do not exhaust
    answers_of_words: int = 350  # loose words, each in about a dozen of these
    output_voice_questions: int = 500  # it asks too, so that its units are known from both
    questions: int = 6000  # by many voices: what a recogniser learns is limited by these
    held_out_answers: int = 150
    held_out_questions: int = 450  # in paraphrases that nothing was trained on, by voices that were
    held_out_voice_questions: int = 140  # by voices that nothing was trained on

    # Hearing and speaking in units: steps, and what is in the batch of each
    tokenizer_utterances: int = 4000  # whose sounds the units are made for
    tokenizer_steps: int = 3000  # to find what tells sounds apart
    renderings: int = 2  # of each question as units, in other surroundings
    vocoder_steps: int = 3200
    vocoder_rows: int = 16
    vocoder_frames: int = 32  # a third of a second: more than a vocoder hears to either side
    flow_steps: int = 3200
    flow_rows: int = 16
    measured_takes: int = 60  # held-out utterances of the output voice, by the gates of vocoder and flow

    # The language stacks: steps, and what is in the batch of each. Small batches and many steps teach more in the same
    # time than the other way round, down to where a matrix is too small to be multiplied at full speed.
    seeing_steps: int = 1500
    seeing_pictures: int = 16
    seeing_views: int = 4  # of each picture, moved and mirrored
    seeing_first_pictures: int = 400  # whose patches the tower's first filters are made for
    reading_steps: int = 3600
    reading_pictures: int = 8
    reading_questions: int = 5  # about each picture; and half as many without one
    practice_steps: int = 6000
    ctc_steps: int = 3600
    ctc_questions: int = 20
    ctc_answered: int = 4  # of the questions, by
    ctc_answers_each: int = 2
    ctc_answers_alone: int = 6
    listening_steps: int = 1300
    listening_questions: int = 3000  # whose words are put together anew
    llm_steps: int = 5600
    llm_pictures: int = 6
    llm_questions: int = 2  # typed, about each picture; and half as many as if spoken
    llm_alone: int = 6  # typed ones without a picture, and as many as if spoken
    llm_spoken: int = 8
    top_steps: int = 1400
    top_answers_alone: int = 20
    top_prompts: int = 3
    top_answers_each: int = 4
    judged_utterances: int = 300  # held-out ones, by the gates of the language stacks
    judged_answers: int = 40  # that are generated as speech


FULL = Plan("full")
# Two minutes for all stages: shows that every part runs, teaches nothing
SMOKE = Plan(
    "smoke",
    judged=False,
    synthesizers=False,
    corpus_processes=1,
    answers=24,
    answers_of_words=4,
    output_voice_questions=4,
    questions=24,
    held_out_answers=4,
    held_out_questions=4,
    held_out_voice_questions=4,
    tokenizer_utterances=24,
    tokenizer_steps=2,
    renderings=1,
    vocoder_steps=2,
    vocoder_rows=2,
    vocoder_frames=16,
    flow_steps=2,
    flow_rows=4,
    measured_takes=1,
    seeing_steps=2,
    seeing_pictures=2,
    seeing_views=2,
    seeing_first_pictures=4,
    reading_steps=2,
    reading_pictures=1,
    reading_questions=2,
    practice_steps=2,
    ctc_steps=2,
    ctc_questions=3,
    ctc_answered=1,
    ctc_answers_each=1,
    ctc_answers_alone=1,
    listening_steps=2,
    listening_questions=4,
    llm_steps=2,
    llm_pictures=1,
    llm_questions=2,
    llm_alone=1,
    llm_spoken=1,
    top_steps=2,
    top_answers_alone=2,
    top_prompts=1,
    top_answers_each=1,
    judged_utterances=2,
    judged_answers=2,
)

PLANS = {plan.name: plan for plan in (FULL, SMOKE)}
