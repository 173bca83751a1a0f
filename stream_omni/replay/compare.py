"""Recorded against observed, field by field: ids exact, arrays within the tolerance that its quantity deserves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_omni.replay.cases import Case

# what a case takes in, or what only informs: nothing to compare. ("wav" is an input's file name and a result's array.)
INPUT_FIELDS = {
    *("mode", "seed", "text_vocab_size", "prompt_ids", "prefill_ids", "max_new_tokens", "image", "image_config"),
    *("noise_seed", "speaker", "token", "prompt_token", "wav", "sample_rate"),
    *("reference_seconds", "embed_lookup_clamped"),
}
INPUT_ARRAYS = {"prompt_feat", "token_index"}

# maximum absolute error in float32; a field that is not named here is compared exactly
TOLERANCE = {
    **dict.fromkeys(("vision_features", "vision_features_last_tile", "projected_features_last_tile"), 2e-4),
    **dict.fromkeys(("merged_image_features", "merged_mean", "merged_std"), 2e-4),
    **dict.fromkeys(("pixel_corner", "pixel_mean", "pixel_std"), 1e-6),
    **dict.fromkeys(("bottom_output", "soft_embeds"), 1e-4),
    "llm_prompt_embeds": 2e-4,  # holds image features
    **dict.fromkeys(("llm_prefill_last_hidden", "top_hidden_last", "min_margin"), 1e-3),
    "top_text_rep0": 0.0,
    "wav16k": 1e-4,
    "feats": 1e-3,
    **dict.fromkeys(("spk", "encoder_out", "mu", "est_cond0", "est_uncond0"), 1e-4),
    **dict.fromkeys(("mel", "mel_mean", "mel_std"), 1e-3),
    **dict.fromkeys(("f0", "f0_voicing_margin"), 5e-2),
    "phase": 1e-6,
    "z_first8": 0.0,
    "source": 2e-3,  # from the recorded f0
    "wav": 1e-3,  # from the recorded mel and source
    **dict.fromkeys(("wav_std", "clipped_fraction", "voiced_fraction"), 1e-3),
    "wav_end_to_end": 5e-2,  # relative RMS: the phase is a cumulative sum, which amplifies differences in f0
}
TOP5_VALUES = 1e-3
CLOSE_CALL = 1e-3  # logits this near may change places


@dataclass(frozen=True)
class Difference:
    """One field's outcome. ``error`` is None where it was compared exactly. A ``note`` on one that is ``ok`` tells a
    difference that refuses nothing."""

    field: str
    ok: bool
    error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class CaseResult:
    """One case's outcome."""

    name: str
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        return bool(self.differences) and all(d.ok for d in self.differences)

    @classmethod
    def failed(cls, name: str, note: str) -> CaseResult:
        """A case that could not be run."""
        return cls(name, (Difference("run", False, note=note),))

    def line(self) -> str:
        """``name  what was compared  ok|FAIL`` on one line; what has a note comes first, failures before all."""
        noted = sorted((d for d in self.differences if d.note or not d.ok), key=lambda d: d.ok)
        wrong = [f"{d.field}: {d.note}" for d in noted]
        exact = [d.field for d in self.differences if d.ok and d.error is None and not d.note]
        near = [f"{d.field} {d.error:.1e}" for d in self.differences if d.ok and d.error is not None]
        parts = [
            *wrong,
            *([f"exact: {', '.join(exact)}"] if exact else []),
            *([f"max error: {', '.join(near)}"] if near else []),
        ]
        return f"{self.name:<28} {'; '.join(parts)}  {'ok' if self.ok else 'FAIL'}"


def compare(case: Case, observed: dict[str, Any]) -> CaseResult:
    """Compare every recorded field that is not an input. A field that was not observed is a failure, and so is an
    observed ``wav_end_to_end`` (no recorded twin) beyond its bound."""
    fields = {name: value for name, value in case.fields.items() if name not in INPUT_FIELDS}
    arrays = {name: array for name, array in case.arrays.items() if name not in INPUT_ARRAYS}
    found = []
    for name, value in {**fields, **arrays}.items():
        if name not in observed:
            found.append(Difference(name, False, note="recorded, but not computed here"))
        else:
            found.append(_COMPARE.get(name, _field)(name, value, observed[name]))
    if "wav_end_to_end" in observed:
        found.append(_number("wav_end_to_end", 0.0, observed["wav_end_to_end"], TOLERANCE["wav_end_to_end"]))
    return CaseResult(case.name, tuple(found))


def _field(name: str, recorded: Any, observed: Any) -> Difference:
    if name in TOLERANCE:
        return _number(name, recorded, observed, TOLERANCE[name])
    return _exact(name, recorded, observed)


def _exact(name: str, recorded: Any, observed: Any) -> Difference:
    want, have = _plain(recorded), _plain(observed)
    if want == have:
        return Difference(name, True)
    if isinstance(want, list) and isinstance(have, list):
        at = next((i for i, (a, b) in enumerate(zip(want, have, strict=False)) if a != b), min(len(want), len(have)))
        note = f"at {at} of {len(want)}: recorded {want[at : at + 3]}, here {have[at : at + 3]} (length {len(have)})"
        return Difference(name, False, note=note)
    return Difference(name, False, note=f"recorded {want!r}, here {have!r}")


def _number(name: str, recorded: Any, observed: Any, tolerance: float) -> Difference:
    want, have = np.asarray(recorded, np.float64), np.asarray(observed, np.float64)
    if want.shape != have.shape:
        return Difference(name, False, note=f"recorded shape {want.shape}, here {have.shape}")
    error = float(np.max(np.abs(want - have), initial=0.0))
    ok = bool(np.isfinite(have).all()) and error <= tolerance
    return Difference(name, ok, error, "" if ok else f"error {error:.2e} beyond {tolerance:.0e}")


def _steps(name: str, recorded: dict[str, list[int]], observed: dict[str, list[int]]) -> Difference:
    for column, values in recorded.items():
        found = _exact(f"{name}.{column}", values, observed.get(column))
        if not found.ok:
            return found
    return Difference(name, True)


def _top5(name: str, recorded: Any, observed: Any) -> Difference:
    """Order of ids exact but where two values are a close call; values within TOP5_VALUES."""
    pairs = list(zip(recorded, observed, strict=False)) if isinstance(recorded, list) else [(recorded, observed)]
    if isinstance(recorded, list) and len(recorded) != len(observed):
        return Difference(name, False, note=f"recorded {len(recorded)} steps, here {len(observed)}")
    worst = 0.0
    for want, have in pairs:
        error = float(np.max(np.abs(np.subtract(want["values"], have["values"]))))
        worst = max(worst, error)
        if error > TOP5_VALUES:
            return Difference(name, False, error, f"values off by {error:.2e}, beyond {TOP5_VALUES:.0e}")
        if not _same_order(want, have["ids"]):
            return Difference(name, False, error, f"recorded ids {want['ids']}, here {have['ids']}")
    return Difference(name, True, worst)


def _same_order(want: dict[str, list[Any]], have: list[int]) -> bool:
    """Equal ids; two may have changed places where their recorded values are a close call."""
    place = {token: i for i, token in enumerate(want["ids"])}
    if set(have) != set(place):
        return False
    return all(abs(want["values"][i] - want["values"][place[token]]) < CLOSE_CALL for i, token in enumerate(have))


def _margins(name: str, recorded: dict[str, float | None], observed: dict[str, float | None]) -> Difference:
    worst = 0.0
    for head, value in recorded.items():
        have = observed.get(head)
        if (value is None) != (have is None):
            return Difference(name, False, note=f"{head}: recorded {value}, here {have}")
        if value is not None and have is not None:
            worst = max(worst, abs(value - have))
    ok = worst <= TOLERANCE["min_margin"]
    return Difference(name, ok, worst, "" if ok else f"error {worst:.2e} beyond {TOLERANCE['min_margin']:.0e}")


def _plain(value: Any) -> Any:
    """Arrays, tuples and numpy scalars as lists and numbers, so that equality is equality of values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


_COMPARE: dict[str, Callable[[str, Any, Any], Difference]] = {
    "steps": _steps,
    "text_top5": _top5,
    "speech_top5": _top5,
    "min_margin": _margins,
}
