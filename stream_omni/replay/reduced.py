"""Recorded against observed in reduced precision: what each step chose, and how far arrays are off."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.replay.cases import Case
from stream_omni.replay.compare import INPUT_ARRAYS, CaseResult, Difference
from stream_omni.replay.language import Model
from stream_omni.replay.teacher import Choices, TaughtRuntime

# Arrays that a precision changes and nothing else does. A waveform is made from the recorded mel and source.
_ARRAYS = (
    *("vision_features", "vision_features_last_tile", "projected_features_last_tile", "merged_image_features"),
    *("bottom_output", "soft_embeds", "llm_prompt_embeds", "llm_prefill_last_hidden", "top_hidden_last"),
    *("encoder_out", "mu", "est_cond0", "est_uncond0", "mel", "f0", "wav"),
)


@dataclass(frozen=True)
class Bounds:
    """``array``: root mean square of an error, of its quantity's own. ``gap``: by how much another id than the recorded
    one may be preferred, in standard deviations of the logits (labels: in logits). ``agreement``: of all choices."""

    array: float
    gap: float
    agreement: float


# bf16: as wide as a tiny random checkpoint needs, whose attention is sharp and whose logits lie close. On a CPU it was
# off by 14 % at the most, 11 of 96 text ids and 1 of 5 speech ids were others, preferred by 1.1 at the most; a wrong id
# among the recorded is preferred by 10.9. fp16 is a guess from its 11 bits. 8 bits are guesses, too, not below bf16, in
# which their products are made. No GPU, and no real checkpoint, has been compared yet.
BOUNDS = {
    "fp32": Bounds(array=1e-3, gap=0.0, agreement=1.0),
    "bf16": Bounds(array=0.2, gap=1.25, agreement=0.8),
    "fp16": Bounds(array=0.01, gap=0.05, agreement=0.97),
    # weights of 8 bits: what they lose is for `stream-omni eval` to judge; here only that nothing is broken
    "int8": Bounds(array=0.2, gap=1.25, agreement=0.8),
    "fp8": Bounds(array=0.2, gap=1.25, agreement=0.8),
}


def teach(case: Case, model: Model) -> tuple[Model, TaughtRuntime]:
    """The model led along the case's recorded ids."""
    taught = TaughtRuntime(model.runtime, model.info, case)
    return dataclasses.replace(model, runtime=taught), taught


def unteachable(case: Case, info: ModelInfo) -> str | None:
    """Why a case cannot lead this checkpoint's loops; None where it can."""
    if "steps" in case.fields and not set(case.fields["out_ids"]) <= set(info.speech_ids):
        return "speaks ids that this build has left out (only_units)"
    return None


def compare_reduced(case: Case, observed: dict[str, Any], taught: TaughtRuntime, bounds: Bounds) -> CaseResult:
    unseen = set(INPUT_ARRAYS) if taught.shows_text else {*INPUT_ARRAYS, "llm_prefill_last_hidden"}
    found = [
        _array(name, case.arrays[name], observed[name], bounds.array)
        for name in _ARRAYS
        if name in case.arrays and name in observed and name not in unseen
    ]
    named = {"text ids": taught.text, "speech ids": taught.speech, "labels": taught.labels}
    found += [_choices(name, choices, bounds) for name, choices in named.items() if choices.made]
    return CaseResult(case.name, tuple(found))


def _array(name: str, recorded: Any, observed: Any, bound: float) -> Difference:
    want, have = np.asarray(recorded, np.float64), np.asarray(observed, np.float64)
    if want.shape != have.shape:
        return Difference(name, False, note=f"recorded shape {want.shape}, here {have.shape}")
    error = float(np.sqrt(np.mean((want - have) ** 2) / max(np.mean(want**2), 1e-12)))
    ok = bool(np.isfinite(have).all()) and error <= bound
    return Difference(name, ok, error, "" if ok else f"error {error:.1%} of its size, beyond {bound:.1%}")


def _choices(name: str, choices: Choices, bounds: Bounds) -> Difference:
    worst = max(choices.gaps, default=0.0)
    ok = worst <= bounds.gap and choices.agreement >= bounds.agreement
    same = choices.made - len(choices.gaps)
    note = f"{same} of {choices.made} as recorded, the others preferred by {worst:.3f} at the most"
    return Difference(name, ok, worst, "" if ok else f"{note} (bounds: {bounds.agreement:.0%}, {bounds.gap})")
