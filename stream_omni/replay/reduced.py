"""Recorded against observed in reduced precision: what each step chose, and how far arrays are off.

What Llama's stacks lose to rounding depends on the checkpoint, so they are not held to a number: the same cases are led
through a plain forward pass in the same precision too, and what is compared may be off by a little more than that.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.replay.cases import Case
from stream_omni.replay.compare import INPUT_ARRAYS, CaseResult, Difference
from stream_omni.replay.language import Model
from stream_omni.replay.teacher import Choices, TaughtRuntime

# Arrays that a precision changes and nothing else does. A waveform is made from the recorded mel and source.
_OF_STACKS = ("bottom_output", "soft_embeds", "llm_prefill_last_hidden", "top_hidden_last")
_ARRAYS = (
    *("vision_features", "vision_features_last_tile", "projected_features_last_tile", "merged_image_features"),
    *("llm_prompt_embeds", *_OF_STACKS),
    *("encoder_out", "mu", "est_cond0", "est_uncond0", "mel", "f0", "wav"),
)
# loop: the state that its choices are made from
_CHOSEN_FROM = {
    "text ids": "llm_prefill_last_hidden",
    "speech ids": "top_hidden_last",
    "labels": "bottom_output",
    "transcript": "bottom_output",
}

_OF_ONE_POSITION = ("llm_prefill_last_hidden", "top_hidden_last")  # whose luck is not evened out by many


@dataclass(frozen=True)
class Most:
    """``array``: an error's root mean square, of its quantity's own. ``gap``: by how much another id than the recorded
    one may be preferred, in standard deviations of the logits (labels: in logits). ``others``: of all choices."""

    array: float
    gap: float
    others: float


# Times what the plain pass is off by, over all cases, or LEAST where that is next to nothing; as in the build's
# engines/verify.py, which has the reasons.
TIMES_PLAIN, TIMES_PLAIN_AT_ONE, LEAST = 2.5, 4.0, 1e-2
# By how much another id may be preferred, in standard deviations: times the error of the state that it is chosen from
# (4.5 times was seen). The best of many logits that are each off by that error gains some times as much.
GAP_TIMES_ERROR = 6.0
MORE_CHOICES = 2  # others than the plain pass's share of them times TIMES_PLAIN, in a case
# Beyond this a case proves nothing, since a wrong engine might be off as little (test: 0.3 and more); where the plain
# pass is off as much, it is rounding that hides it, and the case is set aside. A wrong id is preferred by 10.9.
MOST = {"fp16": Most(0.05, 0.3, 0.1)} | dict.fromkeys(("bf16", "int8", "fp8"), Most(0.2, 1.25, 0.2))
ELSEWHERE = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 6e-2, "int8": 6e-2, "fp8": 6e-2}


@dataclass(frozen=True)
class Measured:
    """How a led run differs from what was recorded. ``arrays``: the error's root mean square, of the quantity's own;
    infinite where it has another shape or holds what is no number. ``choices``: of the loops, and of the transcript."""

    arrays: Mapping[str, float]
    choices: Mapping[str, Choices]


@dataclass(frozen=True)
class Yardstick:
    """What a plain pass loses over all cases. ``arrays``: root mean square of its errors; ``shares``: of its choices,
    how many are others than the recorded ones."""

    arrays: Mapping[str, float]
    shares: Mapping[str, float]

    @classmethod
    def of(cls, cases: Sequence[Measured]) -> Yardstick:
        names = {name for case in cases for name in case.arrays}
        errors = {name: [case.arrays[name] for case in cases if name in case.arrays] for name in names}
        made: dict[str, list[int]] = {}
        for case in cases:
            for name, choices in case.choices.items():
                others, all_made = made.setdefault(name, [0, 0])
                made[name] = [others + len(choices.gaps), all_made + choices.made]
        return cls(
            {name: float(np.sqrt(np.mean(np.square(found)))) for name, found in errors.items()},
            {name: others / all_made for name, (others, all_made) in made.items()},
        )


def teach(case: Case, model: Model) -> tuple[Model, TaughtRuntime]:
    """The model led along the case's recorded ids."""
    taught = TaughtRuntime(model.runtime, model.info, case)
    return dataclasses.replace(model, runtime=taught), taught


def unteachable(case: Case, info: ModelInfo) -> str | None:
    """Why a case cannot lead this checkpoint's loops; None where it can."""
    if "steps" in case.fields and not set(case.fields["out_ids"]) <= set(info.speech_ids):
        return "speaks ids that this build has left out (only_units)"
    return None


def has_stacks(case: Case) -> bool:
    """Whether Llama's stacks run in it at all."""
    return case.mode not in ("vmerge", "vocoder", "logmel")


def measure(case: Case, observed: dict[str, Any], taught: TaughtRuntime) -> Measured:
    unseen = set(INPUT_ARRAYS) if taught.shows_text else {*INPUT_ARRAYS, "llm_prefill_last_hidden"}
    arrays = {
        name: _error(case.arrays[name], observed[name])
        for name in _ARRAYS
        if name in case.arrays and name in observed and name not in unseen
    }
    choices = {"text ids": taught.text, "speech ids": taught.speech, "labels": taught.labels}
    if "ctc_ids" in case.fields and "ctc_ids" in observed:
        choices["transcript"] = transcript = Choices()
        for recorded, own in zip(case.fields["ctc_ids"], observed["ctc_ids"], strict=True):
            transcript.note(own, recorded, 0.0)  # how near the second label was is not kept
    return Measured(arrays, {name: made for name, made in choices.items() if made.made})


def compare_reduced(case: Case, precision: str, here: Measured, plain: Yardstick | None) -> CaseResult:
    """``plain``: below fp32, what the plain pass loses in it."""
    found = [_array(name, error, precision, plain) for name, error in here.arrays.items()]
    found += [_choices(name, made, plain) for name, made in here.choices.items()]
    return CaseResult(case.name, tuple(found))


def proves_nothing(precision: str, here: Measured) -> bool:
    """Whether what was found, although no more than the plain pass may lose as well, is as much as a wrong engine's."""
    most = MOST[precision]
    errors = [error for name, error in here.arrays.items() if name in _OF_STACKS]
    gaps = [gap for made in here.choices.values() for gap in made.gaps]
    others = [1 - made.agreement for made in here.choices.values()]
    return (
        max(errors, default=0) > most.array or max(gaps, default=0) > most.gap or max(others, default=0) > most.others
    )


def _error(recorded: Any, observed: Any) -> float:
    want, have = np.asarray(recorded, np.float64), np.asarray(observed, np.float64)
    if want.shape != have.shape or not np.isfinite(have).all():
        return float("inf")
    return float(np.sqrt(np.mean((want - have) ** 2) / max(np.mean(want**2), 1e-12)))


def _array(name: str, error: float, precision: str, plain: Yardstick | None) -> Difference:
    bound = ELSEWHERE[precision]
    if plain is not None and name in _OF_STACKS:
        times = TIMES_PLAIN_AT_ONE if name in _OF_ONE_POSITION else TIMES_PLAIN
        bound = max(LEAST, times * plain.arrays.get(name, 0.0))
    ok = error <= bound
    return Difference(name, ok, error, "" if ok else f"error {error:.1%} of its size, beyond {bound:.1%}")


def _choices(name: str, made: Choices, plain: Yardstick | None) -> Difference:
    worst, differing = max(made.gaps, default=0.0), len(made.gaps)
    gap, most = 0.0, 0
    if plain is not None:
        gap = GAP_TIMES_ERROR * max(LEAST, plain.arrays.get(_CHOSEN_FROM[name], 0.0))
        most = MORE_CHOICES + math.ceil(TIMES_PLAIN * plain.shares.get(name, 0.0) * made.made)
    ok = worst <= gap and differing <= most
    note = f"{made.made - differing} of {made.made} as recorded, the others preferred by {worst:.3f} at the most"
    return Difference(name, ok, worst, "" if ok else f"{note} (bounds: {most} others, {gap:.3f})")
