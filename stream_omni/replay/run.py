"""Replays recorded cases, and records new ones: both observe the same things, one compares, the other writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from stream_omni.replay.cases import Case
from stream_omni.replay.compare import CaseResult, compare
from stream_omni.replay.fronts import observe_logmel, observe_merge
from stream_omni.replay.language import Model, observe_transcript, observe_turn
from stream_omni.replay.reduced import (
    Measured,
    Yardstick,
    compare_reduced,
    has_stacks,
    measure,
    proves_nothing,
    teach,
    unteachable,
)
from stream_omni.replay.voice import observe_voice
from stream_omni.runtime.session import Array, Runtime


@dataclass(frozen=True)
class Installation:
    """What cases are replayed on. ``voices`` is None where no CosyVoice directory was given. ``precision``: of a
    runtime that is led step by step and compared within its bounds (:mod:`stream_omni.replay.reduced`), below fp32 in
    terms of what a ``plain`` runtime loses; None: one that runs freely and is compared exactly."""

    model: Model
    voices: dict[str, Array] | None = None
    precision: str | None = None
    plain: Runtime | None = None


@dataclass
class Summary:
    """Outcome of a replay."""

    results: list[CaseResult] = field(default_factory=list)
    not_applicable: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """All applicable cases hold, and there is one."""
        return bool(self.results) and all(result.ok for result in self.results)

    def line(self) -> str:
        failed = [result.name for result in self.results if not result.ok]
        parts = [f"{len(self.results) - len(failed)} of {len(self.results)} cases ok"]
        if failed:
            parts.append(f"FAILED: {', '.join(failed)}")
        if not self.results:
            parts.append("no applicable case: nothing was proved")
        if self.not_applicable:
            parts.append(f"{len(self.not_applicable)} not applicable")
        return "; ".join(parts)


def observe(case: Case, installation: Installation) -> dict[str, Any]:
    """Everything that a case of this mode records, computed here; a case needs only its inputs for it.

    Raises ValueError for an unknown mode.
    """
    model = installation.model
    if case.mode == "logmel":
        return observe_logmel(case)
    if case.mode == "vmerge":
        return observe_merge(case, model.info, model.runtime, model.newline)
    if case.mode == "asr_only":
        return observe_transcript(case, model)
    if case.mode == "vocoder":
        assert installation.voices is not None
        return observe_voice(case, model.info, model.runtime, installation.voices)
    if case.mode in ("text_to_text", "text_to_speech", "speech_to_text", "speech_to_speech"):
        return observe_turn(case, model)
    raise ValueError(f"unknown mode {case.mode!r}")


def replay(cases: Sequence[Case], installation: Installation, report: Callable[[str], None]) -> Summary:
    """Replay every applicable case; ``report`` gets a line for each as it is done."""
    summary = Summary()
    plain = None
    if installation.precision not in (None, "fp32"):
        plain = measure_plain([case for case in cases if not not_applicable(case, installation)], installation)
    for case in cases:
        if reason := not_applicable(case, installation):
            summary.not_applicable.append(case.name)
            report(f"{case.name:<28} not applicable: {reason}")
            continue
        result = _replay_one(case, installation, plain)
        if result is None:
            summary.not_applicable.append(case.name)
            report(f"{case.name:<28} not applicable: {installation.precision} alone loses too much here to tell")
            continue
        summary.results.append(result)
        report(result.line())
    return summary


def _replay_one(case: Case, installation: Installation, plain: Yardstick | None) -> CaseResult | None:
    """None where the precision by itself hides what is right and wrong."""
    try:
        if installation.precision is None:
            return compare(case, observe(case, installation))
        here = _lead(case, installation)
        result = compare_reduced(case, installation.precision, here, plain)
        hidden = plain is not None and result.ok and proves_nothing(installation.precision, here)
        return None if hidden else result
    except Exception as error:  # one case that cannot run must not hide the others
        return CaseResult.failed(case.name, f"{type(error).__name__}: {error}")


def _lead(case: Case, installation: Installation) -> Measured:
    model, taught = teach(case, installation.model)
    return measure(case, observe(case, dataclasses.replace(installation, model=model)), taught)


def measure_plain(cases: Sequence[Case], installation: Installation) -> Yardstick:
    """What the plain runtime loses in those that have Llama's stacks. Raises ValueError where there is none."""
    if installation.plain is None:
        raise ValueError(f"{installation.precision} is compared with a plain runtime, and there is none")
    model = dataclasses.replace(installation.model, runtime=installation.plain)
    plain, found = dataclasses.replace(installation, model=model), []
    for case in filter(has_stacks, cases):
        with suppress(Exception):  # a case that cannot run says so when it is compared
            found.append(_lead(case, plain))
    return Yardstick.of(found)


def not_applicable(case: Case, installation: Installation) -> str | None:
    """Why a case says nothing about this installation; None when it does."""
    rows = installation.model.info.vocabulary.text_size
    recorded = case.fields.get("text_vocab_size", rows)
    if recorded != rows:
        return f"recorded with {recorded} text ids, this checkpoint has {rows}"
    if case.mode == "vocoder" and installation.voices is None:
        return "needs --cosyvoice"
    if installation.precision is not None:
        if case.mode == "logmel":
            return "has nothing to do with precision"
        return unteachable(case, installation.model.info)
    return None
